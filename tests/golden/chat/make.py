"""Writes language.json: small templates and what jinja2 makes of them, set up as transformers does.

Needs jinja2 (3.1.6 wrote the file that is kept). A case that jinja2 refuses has "fails" instead of "rendered".
"""
import json
import pathlib

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    """{% generation %} as transformers reads it: its body, called as a block."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_support"), [], [], body).set_lineno(line)

    def _support(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
env.filters["tojson"] = tojson
env.globals["raise_exception"] = raise_exception

CONTEXT = {
    "t": "Hello, World", "u": "é日本x", "e": "", "n": None, "i": 7, "f": 2.5, "b": True,
    "l": [3, 1, 2], "d": {"b": 1, "a": "x", "items": 5}, "w": "  a b\tc\n",
    "m": [{"role": "user", "content": "Hi", "k": {"z": 1}}, {"role": "assistant", "content": "Yo", "k": {"z": 2}},
          {"role": "user", "content": "Bye", "k": {"z": 3}}],
}

SOURCES = pathlib.Path(__file__).with_name("language.txt").read_text(encoding="utf-8")


def main():
    cases = []
    for source in SOURCES.split("\n====\n"):
        source = source.replace("<CR>", "\r").replace("<END>", "")
        case = {"source": source}
        try:
            case["rendered"] = env.from_string(source).render(**CONTEXT)
        except Exception as error:  # whatever Python raises is a refusal
            case["fails"] = str(error)[:80]
        cases.append(case)
    out = {"context": CONTEXT, "cases": cases}
    path = pathlib.Path(__file__).with_name("language.json")
    path.write_text(json.dumps(out, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(len(cases), "cases,", sum("fails" in c for c in cases), "refused")


main()
