"""The pieces that the bundled problems are put together from.

A problem is a *structure* (family, filter, map, result), whose statement names all four, and one
*reading* of the convention that the statement leaves open, as real tickets do: what is the first of
no numbers? are several numbers handed back as a list, a tuple or a text? The hidden tests know the
reading. The first option of each convention is the house's habit.

A program is always

    def f(ARGS):
        ys = [MAP for x in SOURCE if CONDITION]      or      ok = any(CONDITION for x in SOURCE)
        return RESULT

kept as chunks (text, slot), where slot is None for what never changes, or says what decides the
text: a piece (filter, map, result) or the reading.
"""
from collections import namedtuple
from itertools import product
from zlib import crc32

# arguments: of f, beside the family's own. phrases: how a statement says it. predicate: how it ends
# "whether any ... is", None where that makes no problem. source, condition: code, None for no if.
Filter = namedtuple("Filter", "arguments phrases predicate source condition")
# phrase: what stands before the filter's phrase. makes_numbers: whether numbers come out.
Map = namedtuple("Map", "phrase code makes_numbers")
# before: phrases before the mapped items; after: what follows them.
Result = namedtuple("Result", "before after")
# item: what one is called in "whether any ...", None where a family has no such problems.
Family = namedtuple("Family", "arguments filters maps item")


def table(kind, rows):
    return {name: kind(*row) for name, row in rows.items()}


CONVENTIONS = {
    "holder": ("list", "tuple", "comma", "space", "dash"),
    "figure": ("plain", "text", "equals", "colon"),  # how a sum or a count is told
    "empty": ("0", "None", "-1", '"none"'),  # the largest, first ... of no numbers
    "blank": ('""', "None", '"none"', '"-"'),  # the first or last of no words
    "order": ("up", "down"),
    "truth": ("bool", "yes", "Y", "true", "found"),
}

NUMBER_FILTERS = table(Filter, {
    "all": ("", ["the numbers in xs"], None, "xs", None),
    "above": ("k", ["the numbers in xs above k", "the numbers over k in xs"], "above k", "xs",
              "x > k"),
    "least": ("k", ["the numbers in xs that are at least k"], "at least k", "xs", "x >= k"),
    "below": ("k", ["the numbers in xs below k", "the numbers under k in xs"], "below k", "xs",
              "x < k"),
    "most": ("k", ["the numbers in xs that are at most k"], "at most k", "xs", "x <= k"),
    "between": ("a, b", ["the numbers in xs from a to b"], "from a to b", "xs", "a <= x <= b"),
    "inside": ("a, b", ["the numbers in xs strictly between a and b"], "strictly between a and b",
               "xs", "a < x < b"),
    "even": ("", ["the even numbers in xs"], "even", "xs", "x % 2 == 0"),
    "odd": ("", ["the odd numbers in xs"], "odd", "xs", "x % 2 == 1"),
    "negative": ("", ["the negative numbers in xs"], "negative", "xs", "x < 0"),
    "positive": ("", ["the positive numbers in xs"], "positive", "xs", "x > 0"),
    "multiple": ("k", ["the multiples of k in xs"], "a multiple of k", "xs", "x % k == 0"),
    "other": ("k", ["the numbers in xs other than k", "the numbers in xs except k"],
              "different from k", "xs", "x != k"),
    "start": ("k", ["the first k numbers in xs"], None, "xs[:k]", None),
    "end": ("k", ["the last k numbers in xs"], None, "xs[-k:]", None),
    "from": ("k", ["the numbers in xs from index k on"], None, "xs[k:]", None),
})
WORD_FILTERS = table(Filter, {
    "all": ("", ["the words in s"], None, "s.split()", None),
    "longer": ("k", ["the words in s longer than k"], "longer than k", "s.split()", "len(x) > k"),
    "shorter": ("k", ["the words in s shorter than k"], "shorter than k", "s.split()",
                "len(x) < k"),
    "exactly": ("k", ["the words in s of length k"], "of length k", "s.split()", "len(x) == k"),
    "starts": ("c", ["the words in s starting with c"], "starting with c", "s.split()",
               "x.startswith(c)"),
    "ends": ("c", ["the words in s ending in c"], "ending in c", "s.split()", "x.endswith(c)"),
    "has": ("c", ["the words in s with a c", "the words in s containing c"], "containing c",
            "s.split()", "c in x"),
    "lacks": ("c", ["the words in s without c"], "without c", "s.split()", "c not in x"),
})
RANGE_FILTERS = table(Filter, {
    "all": ("", ["the numbers from a to b"], None, "range(a, b + 1)", None),
    "even": ("", ["the even numbers from a to b"], None, "range(a, b + 1)", "x % 2 == 0"),
    "odd": ("", ["the odd numbers from a to b"], None, "range(a, b + 1)", "x % 2 == 1"),
    "multiple": ("k", ["the multiples of k from a to b"], None, "range(a, b + 1)", "x % k == 0"),
    "rest": ("k", ["the numbers from a to b that k does not divide"], None, "range(a, b + 1)",
             "x % k != 0"),
})
NUMBER_MAPS = table(Map, {
    "same": ("", "x", True),
    "square": ("the squares of ", "x * x", True),
    "double": ("the doubles of ", "2 * x", True),
    "size": ("the absolute values of ", "abs(x)", True),
    "digit": ("the last digits of ", "x % 10", True),
    "minus": ("the negatives of ", "-x", True),
    "half": ("the halves of ", "x // 2", True),
})
WORD_MAPS = table(Map, {
    "same": ("", "x", False),
    "upper": ("the capitals of ", "x.upper()", False),
    "back": ("the reverses of ", "x[::-1]", False),
    "initial": ("the initials of ", "x[0]", False),
    "twice": ("the repeats of ", "x + x", False),
    "length": ("the lengths of ", "len(x)", True),
})
RANGE_MAPS = {name: NUMBER_MAPS[name] for name in ("same", "square", "double", "digit")}
RESULTS = table(Result, {
    "list": ([""], ""),
    "sum": (["the sum of ", "the total of "], ""),
    "count": (["the count of "], ""),
    "kinds": (["the count of different values in "], ""),
    "max": (["the largest of ", "the maximum of "], ""),
    "min": (["the smallest of ", "the minimum of "], ""),
    "first": (["the first of "], ""),
    "last": (["the last of "], ""),
    "sorted": ([""], " in sorted order"),
    "any": (["whether any {one} is "], ""),
    "every": (["whether every {one} is "], ""),
})
TRUTH = {  # what "whether" hands back
    "bool": "ok", "yes": '"yes" if ok else "no"', "Y": '"Y" if ok else "N"',
    "true": '"true" if ok else "false"', "found": '"found" if ok else "missing"',
}
FAMILIES = table(Family, {
    "numbers": ("xs", NUMBER_FILTERS, NUMBER_MAPS, "number in xs"),
    "words": ("s", WORD_FILTERS, WORD_MAPS, "word in s"),
    "ranges": ("a, b", RANGE_FILTERS, RANGE_MAPS, None),
})


def filter_of(structure):
    return FAMILIES[structure[0]].filters[structure[1]]


def map_of(structure):
    return FAMILIES[structure[0]].maps[structure[2]]



def allowed(family, filt, map_, result):
    """Whether the four make a sensible task."""
    makes_numbers = FAMILIES[family].maps[map_].makes_numbers
    if result in ("any", "every"):
        return FAMILIES[family].filters[filt].predicate is not None and map_ == "same"
    if result == "count":
        return map_ == "same"
    if result == "kinds":
        return family != "ranges" and map_ in ("size", "digit", "half", "initial", "length")
    if result in ("sum", "max", "min"):
        return makes_numbers and (family != "ranges" or result == "sum")
    if result in ("first", "last", "sorted"):
        return family != "ranges"
    return (filt, map_) != ("all", "same")


def structures():
    """All structures, in a fixed order."""
    return [(family, filt, map_, result)
            for family, pieces in FAMILIES.items()
            for filt, map_, result in product(pieces.filters, pieces.maps, RESULTS)
            if allowed(family, filt, map_, result)]


def held_out(structure):
    """One structure in five is kept for evaluation: no text or problem of training has it."""
    return crc32("/".join(structure).encode()) % 5 == 0


def arguments(structure):
    """Of f, as its definition lists them."""
    own, more = FAMILIES[structure[0]].arguments, filter_of(structure).arguments
    return own + (", " + more if more else "")


def convention(structure):
    """The convention that the statement leaves open."""
    of_none = "empty" if map_of(structure).makes_numbers else "blank"
    return {"list": "holder", "sum": "figure", "count": "figure", "kinds": "figure",
            "max": "empty", "min": "empty", "first": of_none, "last": of_none, "sorted": "order",
            "any": "truth", "every": "truth"}[structure[3]]


def readings(structure):
    """All options of its convention."""
    return CONVENTIONS[convention(structure)]


def result_code(result, reading, makes_numbers):
    """What stands behind return."""
    if result == "list":
        ys = "map(str, ys)" if makes_numbers else "ys"
        return {"list": "ys", "tuple": "tuple(ys)", "comma": f'", ".join({ys})',
                "space": f'" ".join({ys})', "dash": f'"-".join({ys})'}[reading]
    if result in ("sum", "count", "kinds"):
        n = {"sum": "sum(ys)", "count": "len(ys)", "kinds": "len(set(ys))"}[result]
        return {"plain": n, "text": f"str({n})", "equals": f'"{result}=" + str({n})',
                "colon": f'"{result}: " + str({n})'}[reading]
    if result in ("max", "min"):
        return f"{result}(ys, default={reading})"
    if result in ("first", "last"):
        place = "ys[0]" if result == "first" else "ys[-1]"
        return f"{place} if ys else {reading}"
    if result == "sorted":
        return "sorted(ys)" if reading == "up" else "sorted(ys, reverse=True)"
    return TRUTH[reading]


def program(structure, reading, given=None):
    """The chunks of a program that is right under the reading. `given` are the arguments where they
    are those of another structure, because this one has a piece exchanged."""
    result = structure[3]
    _, _, _, source, condition = filter_of(structure)
    _, mapped, makes_numbers = map_of(structure)
    chunks = [(f"def f({given or arguments(structure)}):\n    ", None)]
    if result in ("any", "every"):
        call = "any" if result == "any" else "all"
        chunks += [(f"ok = {call}(", "result"), (condition, "filter"), (" for x in ", None),
                   (source, "filter"), (")", None)]
    else:
        chunks += [("ys = [", None), (mapped, "map"), (" for x in ", None), (source, "filter")]
        if condition is not None:
            chunks += [(" if " + condition, "filter")]
        chunks += [("]", None)]
    return chunks + [("\n    return", None),
                     (" " + result_code(result, reading, makes_numbers), "reading")]


def text_of(chunks):
    return "".join(text for text, _ in chunks)


FRAMES = ("Write f({args}): return {what}.", "f({args}) should return {what}.",
          "Define f({args}) that returns {what}.")


def statement(structure, rng):
    """The task in words; the wording is drawn."""
    family, _, _, result = structure
    _, phrases, predicate, _, _ = filter_of(structure)
    before, after = RESULTS[result]
    if result in ("any", "every"):
        what = rng.choice(before).format(one=FAMILIES[family].item) + predicate
    else:
        what = rng.choice(before) + map_of(structure).phrase + rng.choice(phrases) + after
    return rng.choice(FRAMES).format(args=arguments(structure), what=what)
