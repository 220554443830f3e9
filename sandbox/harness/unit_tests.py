# Runs unit tests against a program, each in a process of its own.
#
# Two processes live in one jail. The judge holds the tests, the nonce and descriptor 3; the other,
# forked before any of these was read, holds only the program. Arguments and results cross between
# them as plain data of exact built-in types; every other object of the program is a Remote: it
# answers when used, but never equals plain data, is never ordered against it and takes no part in
# arithmetic with it. So an object that claims to equal everything, a patched builtin, an early exit
# or a printed marker change nothing that the judge looks at.
#
# Input, descriptor 0: fields, each its length in bytes, a newline, its bytes:
#     nonce, longest text to report, entry point, program, setup, check, tests...
# Output, descriptor 3: records, each "nonce kind number number number number\n" and texts of the
# last three lengths:
#     total n            first; one unit per test, or per assertion of check()
#     pass i / fail i    with the assertion, what was got, and the error
#     load               the program did not run; with the error
#     broken             the tests themselves cannot be used; with the reason
#     end                last
# No module beyond the interpreter's own is imported unless needed: start-up is most of the cost.
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


# ---- both sides: messages and plain data -----------------------------------------------------

class Peer:
    """One end of the conversation. `export` and `adopt` decide what foreign objects become."""

    def __init__(self, reads, writes, export, adopt, serve):
        self.reads, self.writes = reads, writes
        self.export, self.adopt, self.serve = export, adopt, serve
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
        self.body, self.at = self.take(n), 0
        message = self.decode(0)
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


# ---- the program's side ----------------------------------------------------------------------

def program_side(reads, writes):
    """Serves the judge until it goes away. Nothing here needs to be trusted."""
    lines = []
    space = {}

    def export(peer, v, out, depth):
        if isinstance(v, Callback):
            out.append(_struct.pack("<cI", b"o", v._number))
            return
        out.append(_struct.pack("<cI", b"h", peer.own(v)))
        if isinstance(v, type) and issubclass(v, BaseException):
            peer.encode(exception_chain(v), out, depth + 1)
        elif type(v).__name__ == "coroutine":
            peer.encode("coroutine", out, depth + 1)
        else:
            peer.encode(None, out, depth + 1)

    def adopt(peer, tag, n, depth):
        return peer.objects[n] if tag == b"o" else Callback(n, peer.decode(depth + 1))

    def exception_chain(cls):
        """The program's own classes, newest first, each with its number, then a built-in one."""
        own = []
        for c in cls.__mro__:
            if ERRORS.get(c.__name__) is c:
                return own, c.__name__
            own.append((peer.own(c), c.__name__))
        return own, None

    def describe(e):
        """A raised exception: its classes, plain contents, text, and where it came from."""
        where = ""
        at = e.__traceback__
        while at is not None:
            if at.tb_frame.f_code.co_filename == "<solution>" and at.tb_lineno <= len(lines):
                where = "line %d: %s" % (at.tb_lineno, lines[at.tb_lineno - 1].strip())
            at = at.tb_next
        if isinstance(e, SyntaxError) and e.filename == "<solution>" and e.lineno:
            where = "line %d: %s" % (e.lineno, (e.text or "").strip())
        try:
            text = str.__str__(e.msg if isinstance(e, SyntaxError) else str(e))
        except BaseException:
            text = ""
        return ("raise", exception_chain(type(e)), plain(list(e.args), []),
                plain(dict(vars(e)), {}), type(e).__name__, text, where)

    def plain(value, otherwise):
        try:
            out = []
            Peer(-1, -1, refuse, None, None).encode(value, out, 0)
            return value
        except BaseException:
            return otherwise

    def refuse(peer, v, out, depth):
        raise ValueError

    class Callback:
        """A function or an iterator of the tests."""

        def __init__(self, number, kind):
            self._number = number
            if kind == "iterator":
                self.__class__ = CallbackIterator

        def __call__(self, *args, **named):
            return result(peer.ask("call", self, args, named))

    class CallbackIterator(Callback):
        def __iter__(self):
            return self

        def __next__(self):
            return result(peer.ask("next", self))

    def result(answer):
        if answer[0] == "value":
            return answer[1]
        raise ERRORS.get(answer[1], RuntimeError)(*answer[2])

    def load(program, setup, names):
        module = type(sys)("solution")
        sys.modules["solution"] = module
        space.update(module=module)
        lines.extend(program.split("\n"))
        exec(compile(program, "<solution>", "exec"), module.__dict__)
        try:
            exec(compile(setup, "<setup>", "exec"), module.__dict__)
        except BaseException:
            pass  # the judge runs it too, and tells
        found = module.__dict__
        return {n: ("module", n) if isinstance(found[n], type(sys)) else ("value", found[n])
                for n in names if n in found}

    def call(target, args, named):
        """The result, and for each argument that was changed in place its new content."""
        before = [frozen(a) for a in args]
        value = target(*args, **named)
        changed = {}
        for i, a in enumerate(args):
            if before[i] is not None and frozen(a) != before[i]:
                changed[i] = a
        return value, changed

    def frozen(value):
        if type(value) in (list, dict, set, bytearray) or type(value).__name__ == "deque":
            out = []
            try:
                peer.encode(value, out, 0)
            except ValueError:
                return None
            return b"".join(out)
        return None

    def use(name, target, *args):
        return OPERATIONS[name](target, *args)

    def serve(message):
        kind, *rest = message
        try:
            if kind == "load":
                answer = "value", load(*rest)
            elif kind == "call":
                answer = ("value",) + call(*rest)
            else:
                answer = "value", use(*rest)
            peer.send(answer)
        except Gone:
            raise
        except BaseException as e:
            try:
                peer.send(describe(e))
            except (ValueError, RecursionError):
                peer.send(("raise", ([], "RuntimeError"), [], {}, type(e).__name__, "", ""))

    class Gone(BaseException):
        pass

    class ProgramPeer(Peer):
        def receive(self):
            try:
                return Peer.receive(self)
            except EOFError:
                posix._exit(0)

    def asked(prompt=""):
        return result(peer.ask("input", str(prompt)))

    peer = ProgramPeer(reads, writes, export, adopt, serve)
    peer.named = vars(BUILTINS)
    BUILTINS.input = asked
    while True:
        serve(peer.receive())


def make_operations():
    import _operator
    table = {name: getattr(_operator, name) for name in (
        "eq", "ne", "lt", "le", "gt", "ge", "add", "sub", "mul", "matmul", "truediv", "floordiv",
        "mod", "pow", "lshift", "rshift", "and_", "or_", "xor", "neg", "pos", "abs", "invert",
        "getitem", "setitem", "delitem")}
    table.update(
        len=len, iter=iter, next=next, bool=bool, str=str, repr=repr, hash=hash, int=int,
        float=float, getattr=getattr, setattr=setattr, delattr=delattr, reversed=reversed,
        isinstance=lambda cls, v: isinstance(v, cls), index=_operator.index,
        enter=lambda v: type(v).__enter__(v), leave=lambda v: type(v).__exit__(v, None, None, None),
        wait=lambda v: __import__("asyncio").run(v))
    return table


OPERATIONS = make_operations()


# ---- the judge's side ------------------------------------------------------------------------

class Judge:
    def __init__(self, fields, peer_ends, child):
        self.nonce, limit, self.entry, self.program, self.setup, self.check, *self.tests = fields
        self.limit = int(limit)
        self.child = child
        self.peer = Peer(*peer_ends, self.export, self.adopt, self.serve)
        self.classes = {}
        self.last = None       # the latest value a call of the program gave
        self.spoilt = None     # a reason why the running unit cannot pass
        self.space = {"__name__": "tests"}

    # What the tests see of the program.

    def export(self, peer, v, out, depth):
        if isinstance(v, Remote):
            out.append(_struct.pack("<cI", b"o", number_of(v)))
            return
        kind = type(v).__name__
        if vars(BUILTINS).get(getattr(v, "__name__", "")) is v:
            # The program has its own; lending it the judge's eval would not be wise.
            peer.encode_bytes(b"m", v.__name__.encode(), out)
        elif kind in ("function", "builtin_function_or_method", "method"):
            out.append(_struct.pack("<cI", b"h", peer.own(v)))
            peer.encode("function", out, depth + 1)
        elif hasattr(type(v), "__next__"):
            out.append(_struct.pack("<cI", b"h", peer.own(v)))
            peer.encode("iterator", out, depth + 1)
        else:
            raise TypeError("tests cannot hand over a '%s'" % kind)

    def adopt(self, peer, tag, n, depth):
        if tag == b"o":
            return peer.objects[n]
        about = peer.decode(depth + 1)
        if about == "coroutine":
            return self.coroutine(Remote(self, n))
        if type(about) is tuple and about[1] in ERRORS:
            return self.exception_class(*about)
        return Remote(self, n)

    async def coroutine(self, remote):
        return self.use("wait", remote)

    def exception_class(self, own, base):
        cls = ERRORS[base]
        for number, name in reversed(own[:20]):
            if number not in self.classes:
                self.classes[number] = type(str(name), (cls,), {"__str__": shown_text})
            cls = self.classes[number]
        return cls

    def serve(self, message):
        """Requests of the program: calling what it was handed, and input()."""
        kind, *rest = message
        try:
            if kind == "call":
                target, args, named = rest
                if type(target) not in CALLABLES:
                    raise TypeError("not a function")
                value = target(*args, **named)
            elif kind == "next":
                value = next(rest[0])
            elif kind == "input":
                value = BUILTINS.input(rest[0])
            else:
                raise EOFError
            self.peer.send(("value", value))
        except (EOFError, Failure):
            if kind != "input":
                raise
            self.peer.send(("raise", "EOFError", []))
        except Exception as e:
            if isinstance(e, AssertionError):
                self.spoilt = "an assertion failed while the program called back"
            self.peer.send(("raise", type(e).__name__, []))

    def result(self, answer):
        if answer[0] == "value":
            return answer[1]
        _, (own, base), args, attributes, name, text, where = answer
        shown = "%s: %s" % (name, text) if text else str(name)
        if base not in ERRORS:
            self.spoilt = shown
            raise Failure(shown)
        if (own, base) == ([], "StopIteration"):
            raise StopIteration(*args)
        cls = self.exception_class(own, base)
        e = cls.__new__(cls, *args)
        if not own or not attributes.keys() & {"__str__"}:
            e.__dict__.update({str(k): v for k, v in attributes.items()})
        e._rl_text, e._rl_shown, e._rl_where = str(text), shown, str(where)
        raise e

    def ask(self, *message):
        try:
            answer = self.peer.ask(*message)
        except (EOFError, OSError, _struct.error):
            self.spoilt = self.spoilt or self.how_it_ended()
            raise Failure(self.spoilt)
        return answer

    def how_it_ended(self):
        try:
            _, status = posix.waitpid(self.child, posix.WNOHANG)
        except ChildProcessError:
            status = 0
        if posix.WIFSIGNALED(status):
            return "the program died of signal %d during the test" % posix.WTERMSIG(status)
        return "the program ended during the test"

    def call(self, remote, args, named):
        answer = self.ask("call", remote, args, named)
        value = self.result(answer)
        if len(answer) == 3 and type(answer[2]) is dict:
            for i, new in answer[2].items():
                if type(i) is int and 0 <= i < len(args):
                    put_back(args[i], new)
        self.last = (value,)
        return value

    def use(self, name, *args):
        return self.result(self.ask("use", name, *args))

    # Units.

    def run(self):
        try:
            units = self.units()
        except SyntaxError as e:
            self.record("broken", 0, "", "", "the tests do not compile: %s" % e)
            return
        self.record("total", len(units))
        try:
            self.load(units)
        except (Exception, Failure) as e:
            self.record("load", 0, "", "", self.error_text(e))
            self.record("end", 0)
            return
        for i, unit in enumerate(units):
            self.spoilt, self.last = None, None
            got = error = ""
            try:
                got = self.run_unit(unit)
                passed = got is None and self.spoilt is None
                error = self.spoilt or ""
            except BaseException as e:
                passed, error = False, self.error_text(e)
            if passed:
                self.record("pass", i)
            else:
                self.record("fail", i, unit[1], got or "", error)
        self.record("end", 0)

    def units(self):
        """Each a list of statements and the text to show: a test, or a statement of check()."""
        if not self.check:
            return [(parse(t).body, t) for t in self.tests]
        tree = parse(self.check)
        body = None
        for node in tree.body:
            if type(node).__name__ == "FunctionDef" and node.name == "check":
                body = node
        if body is None:
            return [(tree.body, self.check)]
        arguments = body.args.args
        whole = parse(self.check + "\ncheck(%s)\n" % self.entry).body
        if len(arguments) != 1 or any(type(n).__name__ in ("Return", "Yield", "Nonlocal")
                                      for n in walk(body)):
            return [(whole, "check(%s)" % self.entry)]
        # Statements without assertions prepare the ones that follow.
        units, before = [], [n for n in tree.body if n is not body]
        before += parse("%s = %s" % (arguments[0].arg, self.entry)).body
        for node in body.body:
            if any(type(n).__name__ == "Assert" for n in walk(node)):
                units.append((before + [node], text_of(self.check, node)))
                before = []
            else:
                before.append(node)
        return units or [(whole, "check(%s)" % self.entry)]

    def load(self, units):
        setup = parse(self.setup)
        nodes = [n for u in units for s in u[0] for n in walk(s)] + list(walk(setup))
        names = {n.id for n in nodes if type(n).__name__ == "Name"}
        called = {n.func.id for n in nodes
                  if type(n).__name__ == "Call" and type(n.func).__name__ == "Name"}
        found = self.result(self.ask("load", self.program, self.setup, sorted(names)))
        if type(found) is not dict:
            raise Failure("the program ended during the test")
        # The program may stand in for a built-in only where that is what the tests are about.
        under_test = {self.entry} if self.entry else {
            n for n in called if n in found and n not in vars(BUILTINS)}
        for name, (kind, value) in found.items():
            library = name in sys.stdlib_module_names and name not in called
            if kind == "module" or library:
                if library:
                    self.space[name] = __import__(name)
            elif name not in vars(BUILTINS) or name in under_test or not under_test:
                self.space[name] = value
        exec(compile(setup, "<setup>", "exec"), self.space)

    def run_unit(self, unit):
        """None, or what a failing comparison got."""
        for node in unit[0]:
            if type(node).__name__ == "Assert":
                got = self.run_assert(node.test)
                if got is not None:
                    return got
            else:
                exec(compile(AST.Module([node], []), "<tests>", "exec"), self.space)
        return None

    def evaluate(self, node):
        return eval(compile(AST.Expression(node), "<tests>", "eval"), self.space)

    def run_assert(self, test):
        kind = type(test.ops[0]).__name__ if type(test).__name__ == "Compare" else ""
        if kind in COMPARISONS and len(test.ops) == 1:
            left, right = self.evaluate(test.left), self.evaluate(test.comparators[0])
            if COMPARISONS[kind](left, right):
                return None
            calls = any(type(n).__name__ == "Call" for n in walk(test.left))
            return self.shown(left if calls else right)
        value = self.evaluate(test)
        if value:
            return None
        return self.shown(self.last[0] if self.last else value)

    def shown(self, value):
        try:
            return repr(value) or " "
        except (Exception, Failure):
            return "a value that cannot be shown"

    def error_text(self, e):
        shown = getattr(e, "_rl_shown", None)
        if shown is None:
            if isinstance(e, Failure):
                return str(e)
            text = str(e)
            return "%s: %s" % (type(e).__name__, text) if text else type(e).__name__
        return "%s (%s)" % (shown, e._rl_where) if e._rl_where else shown

    def record(self, kind, number, *texts):
        data = [t.encode("utf-8", "backslashreplace")[:self.limit] for t in texts]
        data += [b""] * (3 - len(data))
        head = "%s %s %d %d %d %d\n" % (self.nonce, kind, number, *map(len, data))
        rest = memoryview(head.encode() + b"".join(data))
        while rest:
            rest = rest[posix.write(3, rest):]


def shown_text(e):
    return getattr(e, "_rl_text", None) or Exception.__str__(e)


def put_back(old, new):
    """Gives a container the content that the program's copy of it has now, parts kept."""
    t = type(old)
    if t is not type(new) or old is new:
        return
    if t is list:
        for i in range(min(len(old), len(new))):
            if type(old[i]) is type(new[i]) and type(old[i]) in (list, dict, set):
                put_back(old[i], new[i])
                new[i] = old[i]
        old[:] = new
    elif t is dict:
        for key in new:
            if key in old and type(old[key]) is type(new[key]) and type(new[key]) in (list, dict,
                                                                                      set):
                put_back(old[key], new[key])
                new[key] = old[key]
        old.clear()
        old.update(new)
    elif t is set:
        old.clear()
        old.update(new)
    elif t is bytearray:
        old[:] = new
    elif t.__name__ == "deque":
        old.clear()
        old.extend(new)


class Remote:
    """An object of the program, as the tests see it."""
    __slots__ = ("_rl_judge", "_rl_number")

    def __init__(self, judge, number):
        object.__setattr__(self, "_rl_judge", judge)
        object.__setattr__(self, "_rl_number", number)

    def __call__(self, *args, **named):
        return judge_of(self).call(self, args, named)

    def __getattr__(self, name):
        return judge_of(self).use("getattr", self, name)

    def __setattr__(self, name, value):
        judge_of(self).use("setattr", self, name, value)

    def __delattr__(self, name):
        judge_of(self).use("delattr", self, name)

    def __eq__(self, other):
        return type(other) is Remote and judge_of(self).use("eq", self, other) is True

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return exactly(int, judge_of(self).use("hash", self))

    def __bool__(self):
        return exactly(bool, judge_of(self).use("bool", self))

    def __len__(self):
        return exactly(int, judge_of(self).use("len", self))

    def __index__(self):
        return exactly(int, judge_of(self).use("index", self))

    def __int__(self):
        return exactly(int, judge_of(self).use("int", self))

    def __float__(self):
        return exactly(float, judge_of(self).use("float", self))

    def __str__(self):
        return exactly(str, judge_of(self).use("str", self))

    def __repr__(self):
        return exactly(str, judge_of(self).use("repr", self))

    def __iter__(self):
        return Steps(judge_of(self), judge_of(self).use("iter", self))

    def __next__(self):
        return judge_of(self).use("next", self)

    def __contains__(self, wanted):
        return any(wanted is item or wanted == item for item in self)

    def __getitem__(self, key):
        return judge_of(self).use("getitem", self, key)

    def __setitem__(self, key, value):
        judge_of(self).use("setitem", self, key, value)

    def __delitem__(self, key):
        judge_of(self).use("delitem", self, key)

    def __reversed__(self):
        return Steps(judge_of(self), judge_of(self).use("reversed", self))

    def __instancecheck__(self, value):
        return type(value) is Remote and judge_of(self).use("isinstance", self, value) is True

    def __enter__(self):
        return judge_of(self).use("enter", self)

    def __exit__(self, kind, value, trace):
        if kind is not None and issubclass(kind, AssertionError):
            judge_of(self).spoilt = "an assertion failed"
        judge_of(self).use("leave", self)
        return False


class Steps:
    """An iterator over what the program yields."""

    def __init__(self, judge, remote):
        self.judge, self.remote = judge, remote

    def __iter__(self):
        return self

    def __next__(self):
        return self.judge.use("next", self.remote)


judge_of = Remote._rl_judge.__get__
number_of = Remote._rl_number.__get__


def exactly(kind, value):
    if type(value) is not kind:
        raise TypeError("wanted %s" % kind.__name__)
    return value


def add_operators():
    """Between objects of the program only: against plain data they could claim any result."""
    def binary(name):
        def method(self, other):
            if type(other) is not Remote:
                return NotImplemented
            return judge_of(self).use(name, self, other)
        return method

    def unary(name):
        def method(self):
            return judge_of(self).use(name, self)
        return method

    for name in ("lt", "le", "gt", "ge", "add", "sub", "mul", "matmul", "truediv", "floordiv",
                 "mod", "pow", "lshift", "rshift", "and_", "or_", "xor"):
        setattr(Remote, "__%s__" % name.strip("_"), binary(name))
    for name in ("neg", "pos", "abs", "invert"):
        setattr(Remote, "__%s__" % name, unary(name))


add_operators()
CALLABLES = (type(add_operators), type(len), type([].append))
COMPARISONS = {
    "Eq": lambda a, b: a == b, "NotEq": lambda a, b: a != b, "Lt": lambda a, b: a < b,
    "LtE": lambda a, b: a <= b, "Gt": lambda a, b: a > b, "GtE": lambda a, b: a >= b,
    "Is": lambda a, b: a is b, "IsNot": lambda a, b: a is not b, "In": lambda a, b: a in b,
    "NotIn": lambda a, b: a not in b}
AST = __import__("_ast")


def parse(text):
    return compile(text, "<tests>", "exec", AST.PyCF_ONLY_AST)


def walk(node):
    yield node
    for name in node._fields:
        value = getattr(node, name, None)
        for child in value if type(value) is list else (value,):
            if isinstance(child, AST.AST):
                yield from walk(child)


def text_of(source, node):
    lines = source.encode().split(b"\n")[node.lineno - 1:node.end_lineno]
    lines[-1] = lines[-1][:node.end_col_offset]
    lines[0] = lines[0][node.col_offset:]
    return b"\n".join(lines).decode()


def read_fields():
    data = bytearray()
    while True:
        part = posix.read(0, 1 << 20)
        if not part:
            break
        data += part
    fields, at = [], 0
    while at < len(data):
        end = data.index(b"\n", at)
        n = int(data[at:end])
        fields.append(data[end + 1:end + 1 + n].decode("utf-8", "surrogateescape"))
        at = end + 1 + n
    return fields


def refuse_input(prompt=""):
    raise EOFError("no input")


def main():
    to_program, to_judge = posix.pipe(), posix.pipe()
    child = posix.fork()
    if child == 0:
        posix.close(3)
        posix.close(to_program[1])
        posix.close(to_judge[0])
        null = posix.open("/dev/null", posix.O_RDONLY)
        posix.dup2(null, 0)
        program_side(to_program[0], to_judge[1])
    posix.close(to_program[0])
    posix.close(to_judge[1])
    BUILTINS.input = refuse_input
    Judge(read_fields(), (to_judge[0], to_program[1]), child).run()
    posix._exit(0)


main()
