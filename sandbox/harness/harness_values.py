# First part of the test harness (harness_judge.py says what the whole does): messages between the two
# processes, and the plain data in them. The parts are joined into one text in the order values,
# program, judge. No module beyond the interpreter's own is imported unless needed: start-up is most
# of the cost of a short program.
import posix
import sys
import _struct

MESSAGE_MAX = 16 << 20
DEPTH_MAX = 100

BUILTINS = sys.modules["builtins"]
# Classes that may cross by name, since calling them does nothing but make plain data.
PLAIN_CLASSES = {c.__name__: c for c in (
    int, float, bool, str, bytes, bytearray, complex, list, tuple, dict, set, frozenset, range,
    object, type, type(None))}
ERRORS = {name: c for name, c in vars(BUILTINS).items()
          if isinstance(c, type) and issubclass(c, Exception)}
PLAIN_CLASSES.update(ERRORS)


class Failure(BaseException):
    """A test cannot pass any more, whatever the code around it catches."""


class Peer:
    """One end of the conversation. `export` and `adopt` decide what foreign objects become."""

    def __init__(self, reads, writes, export, adopt, serve):
        self.reads, self.writes = reads, writes
        self.export, self.adopt, self.serve = export, adopt, serve
        self.body, self.at = b"", 0
        self.objects = []
        self.named = PLAIN_CLASSES

    def own(self, value):
        for i, known in enumerate(self.objects):
            if known is value:
                return i
        self.objects.append(value)
        return len(self.objects) - 1

    def send(self, message):
        out = []
        self.encode(message, out, 0)
        body = b"".join(out)
        if len(body) > MESSAGE_MAX:
            raise ValueError("value too large to hand over")
        data = memoryview(_struct.pack("<I", len(body)) + body)
        while data:
            data = data[posix.write(self.writes, data):]

    def take(self, n):
        parts = []
        while n > 0:
            part = posix.read(self.reads, min(n, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            n -= len(part)
        return b"".join(parts)

    def receive(self):
        n, = _struct.unpack("<I", self.take(4))
        if n > MESSAGE_MAX:
            raise EOFError
        # Decoding may ask back (the hash of an object that is a key), which comes here again.
        outer = self.body, self.at
        self.body, self.at = self.take(n), 0
        try:
            message = self.decode(0)
        finally:
            self.body, self.at = outer
        if type(message) is not tuple or not message:
            raise EOFError
        return message

    def ask(self, *message):
        """Sends a request; serves the other side's until the answer comes."""
        self.send(message)
        while True:
            answer = self.receive()
            if answer[0] in ("value", "raise"):
                return answer
            self.serve(answer)

    def encode(self, v, out, depth):
        t = type(v)
        if depth > DEPTH_MAX:
            raise ValueError("value nested too deeply to hand over")
        if v is None:
            out.append(b"N")
        elif v is True:
            out.append(b"T")
        elif v is False:
            out.append(b"F")
        elif v is Ellipsis:
            out.append(b"E")
        elif t is int:
            if -1 << 63 <= v < 1 << 63:
                out.append(_struct.pack("<cq", b"i", v))
            else:
                self.encode_bytes(b"I", v.to_bytes(v.bit_length() // 8 + 1, "little", signed=True),
                                  out)
        elif t is float:
            out.append(_struct.pack("<cd", b"f", v))
        elif t is complex:
            out.append(_struct.pack("<cdd", b"c", v.real, v.imag))
        elif t is str:
            self.encode_bytes(b"s", v.encode("utf-8", "surrogatepass"), out)
        elif t is bytes:
            self.encode_bytes(b"b", v, out)
        elif t is bytearray:
            self.encode_bytes(b"B", bytes(v), out)
        elif t in SEQUENCES:
            self.encode_items(SEQUENCES[t], v, out, depth)
        elif t is dict:
            self.encode_pairs(b"d", v, out, depth)
        elif t is range:
            self.encode_items(b"r", (v.start, v.stop, v.step), out, depth)
        elif t is type and PLAIN_CLASSES.get(v.__name__) is v:
            self.encode_bytes(b"m", v.__name__.encode(), out)
        elif not self.encode_library(t, v, out, depth):
            self.export(self, v, out, depth)

    def encode_library(self, t, v, out, depth):
        """Value types of the standard library that tests compare with."""
        kind = t.__module__, t.__name__
        if kind == ("decimal", "Decimal"):
            self.encode_bytes(b"D", str(v).encode(), out)
        elif kind == ("fractions", "Fraction"):
            self.encode_items(b"Q", (v.numerator, v.denominator), out, depth)
        elif kind == ("collections", "deque"):
            self.encode_items(b"q", (list(v), v.maxlen), out, depth)
        elif kind == ("collections", "Counter"):
            self.encode_pairs(b"C", dict(v), out, depth)
        elif kind in (("collections", "OrderedDict"), ("collections", "defaultdict")):
            self.encode_pairs(b"d", dict(v), out, depth)
        elif kind == ("datetime", "date"):
            self.encode_items(b"x", ("date", v.year, v.month, v.day), out, depth)
        elif kind == ("datetime", "datetime") and v.tzinfo is None:
            self.encode_items(b"x", ("datetime", v.year, v.month, v.day, v.hour, v.minute,
                                     v.second, v.microsecond), out, depth)
        elif kind == ("datetime", "timedelta"):
            self.encode_items(b"x", ("timedelta", v.days, v.seconds, v.microseconds), out, depth)
        elif t.__base__ is tuple and type(getattr(t, "_fields", None)) is tuple:
            self.encode_items(b"n", (t.__name__, list(t._fields), list(v)), out, depth)
        elif isinstance(v, int):
            self.encode(int.__int__(v), out, depth)
        elif isinstance(v, float):
            self.encode(float.__float__(v), out, depth)
        elif isinstance(v, str):
            self.encode(str.__str__(v), out, depth)
        else:
            return False
        return True

    def encode_bytes(self, tag, data, out):
        out.append(_struct.pack("<cI", tag, len(data)))
        out.append(data)

    def encode_items(self, tag, items, out, depth):
        items = list(items)
        out.append(_struct.pack("<cI", tag, len(items)))
        for item in items:
            self.encode(item, out, depth + 1)

    def encode_pairs(self, tag, pairs, out, depth):
        out.append(_struct.pack("<cI", tag, len(pairs)))
        for key, value in list(pairs.items()):
            self.encode(key, out, depth + 1)
            self.encode(value, out, depth + 1)

    def unpack(self, form, size):
        at = self.at
        self.at = at + size
        return _struct.unpack_from(form, self.body, at)

    def decode(self, depth):
        tag = self.body[self.at:self.at + 1]
        self.at += 1
        if depth > DEPTH_MAX or not tag:
            raise EOFError
        if tag in CONSTANTS:
            return CONSTANTS[tag]
        if tag == b"i":
            return self.unpack("<q", 8)[0]
        if tag == b"f":
            return self.unpack("<d", 8)[0]
        if tag == b"c":
            return complex(*self.unpack("<dd", 16))
        n, = self.unpack("<I", 4)
        if tag == b"h" or tag == b"o":
            return self.adopt(self, tag, n, depth)
        if n > len(self.body) - self.at:
            raise EOFError
        if tag in b"IsbBmD":
            data = self.body[self.at:self.at + n]
            self.at += n
            return self.decode_bytes(tag, data)
        if tag == b"d" or tag == b"C":
            value = {}
            for _ in range(n):
                key = self.decode(depth + 1)
                value[key] = self.decode(depth + 1)
            return value if tag == b"d" else __import__("collections").Counter(value)
        return self.decode_items(tag, [self.decode(depth + 1) for _ in range(n)])

    def decode_bytes(self, tag, data):
        if tag == b"I":
            return int.from_bytes(data, "little", signed=True)
        if tag == b"s":
            return data.decode("utf-8", "surrogatepass")
        if tag == b"b":
            return data
        if tag == b"B":
            return bytearray(data)
        if tag == b"m":
            return self.named[data.decode()]
        return __import__("decimal").Decimal(data.decode())

    def decode_items(self, tag, items):
        if tag == b"l":
            return items
        if tag in MAKERS:
            return MAKERS[tag](items)
        if tag == b"r":
            return range(*items)
        if tag == b"Q":
            return __import__("fractions").Fraction(*items)
        if tag == b"q":
            return __import__("collections").deque(*items)
        if tag == b"n":
            name, fields, values = items
            return named_tuple(name, tuple(fields))(*values)
        if tag == b"x" and items[0] in ("date", "datetime", "timedelta"):
            return getattr(__import__("datetime"), items[0])(*items[1:])
        raise EOFError


SEQUENCES = {list: b"l", tuple: b"t", set: b"S", frozenset: b"Z"}
MAKERS = {b"t": tuple, b"S": set, b"Z": frozenset}
CONSTANTS = {b"N": None, b"T": True, b"F": False, b"E": Ellipsis}
NAMED = {}


def named_tuple(name, fields):
    if (name, fields) not in NAMED:
        NAMED[name, fields] = __import__("collections").namedtuple(name, fields)
    return NAMED[name, fields]
