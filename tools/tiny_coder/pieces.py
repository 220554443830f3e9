"""The pieces that the bundled problems are put together from.

A problem is a *structure* (family, filter, map, result), whose statement names all four, and one
*reading* of every convention that the statement leaves open, as real tickets do: is k itself
"above k"? what is the first of no numbers? are several numbers handed back as a list, a tuple or a
text? The hidden tests know the reading. The first option of each convention is the house's habit.

A program is always

    def f(ARGS):
        ys = [MAP for x in SOURCE if CONDITION]      or      ok = any(CONDITION for x in SOURCE)
        return RESULT

kept as chunks (text, slot), where slot is None for what never changes, or names the piece or the
convention that decides the text.
"""
from itertools import product
from zlib import crc32

CONVENTIONS = {
    "bound": ("open", "closed"),  # is k itself above k, below k, longer than k?
    "ends": ("both", "none", "left"),  # which ends belong to "between a and b" in a list
    "base": ("0", "1"),  # what position k means
    "range": ("both", "left", "none"),  # which ends belong to "from a to b"
    "holder": ("list", "tuple", "comma", "space", "dash"),
    "figure": ("plain", "text", "equals", "colon"),  # how a sum or a count is told
    "empty": ("0", "None", "-1", '"none"'),  # the largest, first ... of no numbers
    "blank": ('""', "None", '"none"', '"-"'),  # the first or last of no words
    "order": ("up", "down"),
    "truth": ("bool", "yes", "Y", "true", "found"),
}

# name: (arguments, [phrases], predicate, source, condition, convention); a condition or a source
# with a convention is a table of its readings.
NUMBER_FILTERS = {
    "all": ("", ["the numbers in xs"], None, "xs", None, None),
    "above": ("k", ["the numbers in xs above k", "the numbers over k in xs"], "above k", "xs",
              {"open": "x > k", "closed": "x >= k"}, "bound"),
    "below": ("k", ["the numbers in xs below k", "the numbers under k in xs"], "below k", "xs",
              {"open": "x < k", "closed": "x <= k"}, "bound"),
    "between": ("a, b", ["the numbers in xs between a and b"], "between a and b", "xs",
                {"both": "a <= x <= b", "none": "a < x < b", "left": "a <= x < b"}, "ends"),
    "even": ("", ["the even numbers in xs"], "even", "xs", "x % 2 == 0", None),
    "odd": ("", ["the odd numbers in xs"], "odd", "xs", "x % 2 == 1", None),
    "negative": ("", ["the negative numbers in xs"], "negative", "xs", "x < 0", None),
    "positive": ("", ["the positive numbers in xs"], "positive", "xs", "x > 0", None),
    "multiple": ("k", ["the multiples of k in xs"], "a multiple of k", "xs", "x % k == 0", None),
    "other": ("k", ["the numbers in xs other than k", "the numbers in xs except k"],
              "different from k", "xs", "x != k", None),
    "start": ("k", ["the first k numbers in xs"], None, "xs[:k]", None, None),
    "end": ("k", ["the last k numbers in xs"], None, "xs[-k:]", None, None),
    "from": ("k", ["the numbers in xs from position k on"], None,
             {"0": "xs[k:]", "1": "xs[k - 1:]"}, None, "base"),
}
WORD_FILTERS = {
    "all": ("", ["the words in s"], None, "s.split()", None, None),
    "longer": ("k", ["the words in s longer than k"], "longer than k", "s.split()",
               {"open": "len(x) > k", "closed": "len(x) >= k"}, "bound"),
    "shorter": ("k", ["the words in s shorter than k"], "shorter than k", "s.split()",
                {"open": "len(x) < k", "closed": "len(x) <= k"}, "bound"),
    "starts": ("c", ["the words in s starting with c"], "starting with c", "s.split()",
               "x.startswith(c)", None),
    "ends": ("c", ["the words in s ending in c"], "ending in c", "s.split()", "x.endswith(c)",
             None),
    "has": ("c", ["the words in s with a c", "the words in s containing c"], "containing c",
            "s.split()", "c in x", None),
    "lacks": ("c", ["the words in s without c"], "without c", "s.split()", "c not in x", None),
}
RANGES = {"both": "range(a, b + 1)", "left": "range(a, b)", "none": "range(a + 1, b)"}
RANGE_FILTERS = {
    "all": ("", ["the numbers from a to b"], None, RANGES, None, "range"),
    "even": ("", ["the even numbers from a to b"], None, RANGES, "x % 2 == 0", "range"),
    "odd": ("", ["the odd numbers from a to b"], None, RANGES, "x % 2 == 1", "range"),
    "multiple": ("k", ["the multiples of k from a to b"], None, RANGES, "x % k == 0", "range"),
    "rest": ("k", ["the numbers from a to b that k does not divide"], None, RANGES, "x % k != 0",
             "range"),
}
# name: (phrase before the numbers, code, whether it makes numbers)
NUMBER_MAPS = {
    "same": ("", "x", True),
    "square": ("the squares of ", "x * x", True),
    "double": ("the doubles of ", "2 * x", True),
    "size": ("the absolute values of ", "abs(x)", True),
    "digit": ("the last digits of ", "x % 10", True),
    "minus": ("the negatives of ", "-x", True),
    "half": ("the halves of ", "x // 2", True),
}
WORD_MAPS = {
    "same": ("", "x", False),
    "upper": ("the capitals of ", "x.upper()", False),
    "back": ("the reverses of ", "x[::-1]", False),
    "initial": ("the initials of ", "x[0]", False),
    "twice": ("the repeats of ", "x + x", False),
    "length": ("the lengths of ", "len(x)", True),
}
# name: ([phrases before the mapped numbers], phrase after them)
RESULTS = {
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
}
TRUTH = {
    "bool": "ok", "yes": '"yes" if ok else "no"', "Y": '"Y" if ok else "N"',
    "true": '"true" if ok else "false"', "found": '"found" if ok else "missing"',
}
# family: (arguments, filters, maps, what one item is called in "whether any ...")
FAMILIES = {
    "numbers": ("xs", NUMBER_FILTERS, NUMBER_MAPS, "number in xs"),
    "words": ("s", WORD_FILTERS, WORD_MAPS, "word in s"),
    "ranges": ("a, b", RANGE_FILTERS, {k: NUMBER_MAPS[k] for k in
                                       ("same", "square", "double", "digit")}, None),
}


def allowed(family, filt, map_, result):
    """Whether the four make a sensible task."""
    pieces = FAMILIES[family][1][filt]
    makes_numbers = FAMILIES[family][2][map_][2]
    if result in ("any", "every"):
        return pieces[2] is not None and map_ == "same"
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
            for family, (_, filters, maps, _) in FAMILIES.items()
            for filt, map_, result in product(filters, maps, RESULTS)
            if allowed(family, filt, map_, result)]


def held_out(structure):
    """One structure in five is kept for evaluation: no text or problem of training has it."""
    return crc32("/".join(structure).encode()) % 5 == 0


def arguments(structure):
    family, filt, _, _ = structure
    own, more = FAMILIES[family][0], FAMILIES[family][1][filt][0]
    return own + (", " + more if more else "")


def conventions(structure):
    """The conventions that the statement leaves open."""
    family, filt, map_, result = structure
    of_filter = FAMILIES[family][1][filt][5]
    makes_numbers = FAMILIES[family][2][map_][2]
    of_result = {"list": "holder", "sum": "figure", "count": "figure", "kinds": "figure",
                 "max": "empty", "min": "empty", "sorted": "order", "any": "truth",
                 "every": "truth"}.get(result, "empty" if makes_numbers else "blank")
    return tuple(c for c in (of_filter, of_result) if c is not None)


def readings(structure):
    """All readings: dictionaries from convention to option."""
    names = conventions(structure)
    return [dict(zip(names, options)) for options in product(*(CONVENTIONS[n] for n in names))]


def result_code(result, reading, makes_numbers):
    if result == "list":
        ys = "map(str, ys)" if makes_numbers else "ys"
        return {"list": "ys", "tuple": "tuple(ys)", "comma": f'", ".join({ys})',
                "space": f'" ".join({ys})', "dash": f'"-".join({ys})'}[reading["holder"]]
    if result in ("sum", "count", "kinds"):
        n = {"sum": "sum(ys)", "count": "len(ys)", "kinds": "len(set(ys))"}[result]
        label = {"sum": "sum", "count": "count", "kinds": "kinds"}[result]
        return {"plain": n, "text": f"str({n})", "equals": f'"{label}=" + str({n})',
                "colon": f'"{label}: " + str({n})'}[reading["figure"]]
    if result in ("max", "min"):
        return f"{result}(ys, default={reading['empty']})"
    if result in ("first", "last"):
        place = "ys[0]" if result == "first" else "ys[-1]"
        return f"{place} if ys else {reading.get('empty') or reading['blank']}"
    if result == "sorted":
        return "sorted(ys)" if reading["order"] == "up" else "sorted(ys, reverse=True)"
    return TRUTH[reading["truth"]]


def program(structure, reading, given=None):
    """The chunks of a right program; `given` are the arguments, where a piece is a wrong one."""
    family, filt, map_, result = structure
    _, _, _, source, condition, of_filter = FAMILIES[family][1][filt]
    _, mapped, makes_numbers = FAMILIES[family][2][map_]
    source_slot = condition_slot = "filter"
    if isinstance(source, dict):
        source, source_slot = source[reading[of_filter]], of_filter
    if isinstance(condition, dict):
        condition, condition_slot = condition[reading[of_filter]], of_filter
    of_result = conventions(structure)[-1]
    chunks = [(f"def f({given or arguments(structure)}):\n    ", None)]
    if result in ("any", "every"):
        call = "any" if result == "any" else "all"
        chunks += [(f"ok = {call}(", "result"), (condition, condition_slot), (" for x in ", None),
                   (source, source_slot), (")", None)]
    else:
        chunks += [("ys = [", None), (mapped, "map"), (" for x in ", None), (source, source_slot)]
        if condition is not None:
            chunks += [(" if " + condition, condition_slot)]
        chunks += [("]", None)]
    chunks += [("\n    return", None),
               (" " + result_code(result, reading, makes_numbers), of_result)]
    return chunks


def text_of(chunks):
    return "".join(text for text, _ in chunks)


FRAMES = ("Write f({args}): return {what}.", "f({args}) should return {what}.",
          "Define f({args}) that returns {what}.")


def statement(structure, rng):
    """The task in words; the wording is drawn."""
    family, filt, map_, result = structure
    _, phrases, predicate, _, _, _ = FAMILIES[family][1][filt]
    before, after = RESULTS[result]
    if predicate is not None and result in ("any", "every"):
        what = rng.choice(before).format(one=FAMILIES[family][3]) + predicate
    else:
        what = rng.choice(before) + FAMILIES[family][2][map_][0] + rng.choice(phrases) + after
    return rng.choice(FRAMES).format(args=arguments(structure), what=what)
