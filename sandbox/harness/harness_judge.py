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
#     nonce, longest text to report, entry point, program, helpers, setup, check, tests...
# Helpers are the problem's own text before the entry point; the tests may use what it defines.
# Output, descriptor 3: records, each "nonce kind number number number number\n" and texts of the
# last three lengths:
#     total n            first; one unit per test, or per assertion of check()
#     pass i / fail i    with the assertion, what was got, and the error
#     load               the program did not run; with the error
#     timeout i          the program used up its processor time in unit i; last
#     broken             the tests themselves cannot be used; with the reason
#     end                last

class TimeUsedUp(BaseException):
    pass


class Judge:
    def __init__(self, fields, peer_ends, child):
        (self.nonce, limit, self.entry, self.program, self.helpers, self.setup, self.check,
         *self.tests) = fields
        self.limit = int(limit)
        self.child = child
        self.peer = Peer(*peer_ends, self.export, self.adopt, self.serve)
        self.classes = {}
        self.last = None       # the latest value a call of the program gave
        self.spoilt = None     # a reason why the running unit cannot pass
        self.ended = None      # how the program's process ended, once it has
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

    def result(self, answer, may_stop=False):
        if answer[0] == "value":
            return answer[1]
        _, (own, base), args, attributes, name, text, where = answer
        shown = "%s: %s" % (name, text) if text else str(name)
        # Out of anything but next() these would end a loop of the tests, with nothing amiss.
        stops = base in ("StopIteration", "StopAsyncIteration")
        if base not in ERRORS or (stops and not may_stop):
            self.spoilt = shown
            raise Failure(shown)
        if stops and not own:
            raise ERRORS[base](*args)
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
            self.spoilt = self.ended = self.ended or self.how_it_ended()
            raise Failure(self.spoilt)
        return answer

    def how_it_ended(self):
        """Waits a little, since a process lets go of its pipes before it can be reaped."""
        import _signal
        import resource
        import time
        for _ in range(500):
            pid, status, usage = posix.wait4(self.child, posix.WNOHANG)
            if pid == self.child:
                break
            time.sleep(0.002)
        used = usage.ru_utime + usage.ru_stime
        if posix.WIFSIGNALED(status):
            # A program that ignores the first signal of the limit is killed a second later.
            signal, limit = posix.WTERMSIG(status), resource.getrlimit(resource.RLIMIT_CPU)[0]
            if signal == _signal.SIGXCPU or (signal == _signal.SIGKILL and used >= limit):
                raise TimeUsedUp
            return "the program died of signal %d during the test" % signal
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
        return self.result(self.ask("use", name, *args), name == "next")

    # Units.

    def run(self):
        try:
            units = self.units()
        except SyntaxError as e:
            self.record("broken", 0, "", "", "the tests do not compile: %s" % e)
            return
        self.record("total", len(units))
        number = 0
        try:
            if self.loads(units):
                for number, unit in enumerate(units):
                    self.judge(number, unit)
            self.record("end", 0)
        except TimeUsedUp:
            self.record("timeout", number)

    def loads(self, units):
        try:
            self.load(units)
            return True
        except (Exception, Failure) as e:
            self.record("load", 0, "", "", self.error_text(e))
            return False

    def judge(self, number, unit):
        self.spoilt, self.last = None, None
        got = error = ""
        try:
            got = self.run_unit(unit)
            passed = got is None and self.spoilt is None
            error = self.spoilt or ""
        except TimeUsedUp:
            raise
        except BaseException as e:
            passed, error = False, self.error_text(e)
        if passed:
            self.record("pass", number)
        else:
            self.record("fail", number, unit[1], got or "", error)

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
            if not is_definition(node) and any(type(n).__name__ == "Assert" for n in walk(node)):
                units.append((before + [node], text_of(self.check, node, node)))
                before = []
            else:
                before.append(node)
        if units and any(can_check(n) for n in before):
            units.append((before, text_of(self.check, before[0], before[-1])))
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
        found = {n: found[n] for n in names if n in found}
        self.take(found, called, self.entry or only_name(found, bound_by(setup)))
        self.add_helpers(names)
        exec(compile(setup, "<setup>", "exec"), self.space)

    def take(self, found, called, under_test):
        """A name of the program stands in for a built-in only where the tests are about it."""
        for name, (kind, value) in found.items():
            library = name in sys.stdlib_module_names and name not in called
            if kind == "module" or library:
                if library:
                    self.space[name] = __import__(name)
            elif name not in vars(BUILTINS) or name == under_test:
                self.space[name] = value

    def add_helpers(self, names):
        """What the problem defines before the entry point is not the program's to define anew.

        Its classes are the exception: their objects have to be of the program's kind."""
        tree = parse("%s\ndef %s(): pass\n" % (self.helpers, self.entry or "_"))
        tree.body.pop()  # with decorators of the entry point, which the helpers may end in
        wanted = names & bound_by(tree) - {self.entry}
        if wanted and not any(type(n).__name__ == "ClassDef" for n in tree.body):
            space = {"__name__": "solution", self.entry: self.space.get(self.entry)}
            exec(compile(tree, "<helpers>", "exec"), space)
            self.space.update((n, space[n]) for n in wanted if n in space)

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


def is_definition(node):
    return type(node).__name__ in ("FunctionDef", "AsyncFunctionDef", "ClassDef")


def can_check(node):
    """Whether a statement without assertions can fail: not where it is all built-ins."""
    return not is_definition(node) and any(
        type(n).__name__ == "Name" and n.id not in vars(BUILTINS) for n in walk(node))


def bound_by(tree):
    """The names that a text defines, imports or assigns."""
    names = set()
    for n in walk(tree):
        if is_definition(n) or type(n).__name__ == "alias":
            names.add(getattr(n, "asname", None) or n.name)
        elif type(n).__name__ == "Name" and type(n.ctx).__name__ == "Store":
            names.add(n.id)
    return names


def only_name(found, known):
    """What the tests are about, where that is one name of the program."""
    own = [n for n, (kind, _) in found.items() if kind != "module" and n not in known]
    return own[0] if len(own) == 1 else None


def text_of(source, first, last):
    lines = source.encode().split(b"\n")[first.lineno - 1:last.end_lineno]
    lines[-1] = lines[-1][:last.end_col_offset]
    lines[0] = lines[0][first.col_offset:]
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


def hide():
    """Keeps the program from looking into the judge's memory and descriptors through /proc."""
    import _ctypes
    dumpable = 4  # PR_SET_DUMPABLE
    if _ctypes.call_cdeclfunction(_ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl"),
                                  (dumpable, 0, 0, 0, 0)) != 0:
        raise OSError("the judge cannot be hidden")


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
    hide()
    Judge(read_fields(), (to_judge[0], to_program[1]), child).run()
    posix._exit(0)


main()
