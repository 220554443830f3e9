#!/usr/bin/env bash
# What the documentation says is there: docs/recipe.md is what rl-train prints, the tour's files and functions
# exist, and relative links lead somewhere. Usage: test_docs.sh FOLDER_OF_PROGRAMS
set -u
bin=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.." || exit 1
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

# files_of NAME: the source files that a path, the end of one, or a pattern may mean.
files_of() {
  compgen -G "$1" || find $rooms -path "*/$1" -type f
}

# defines FILE NAME: a function (its body opens after the parameters, so a call or a prototype will not do).
defines() {
  awk -v name="$2" '
    !head && $0 ~ "^[a-z].*[ *]" name "\\(" { head = 1 }
    head && /\{$/ { found = 1 }
    head && /[;{]$/ { head = 0 }
    END { exit !found }' "$1"
}

rooms="algos cli core include policy rewards rollout sandbox tensor train"

"$bin/rl-train" --help-recipe --markdown | diff docs/recipe.md - ||
  fail "docs/recipe.md is not what rl-train --help-recipe --markdown prints"

# A span of the tour is a file, "file: function", a function, a hook of the algorithm's row, or a key of a recipe;
# anything else, such as a metric or a program, has no form of these.
n_files=0
n_functions=0
while read -r span; do
  file=${span%%: *}
  name=
  case $span in
  *.[ch]:\ * | *.py:\ *) name=${span#*: } ;;
  *.c | *.h | *.py | *.json | *.md | *.sh) ;;
  *[!a-z0-9_]* | '') continue ;;
  *) file= name=$span ;;
  esac
  if [ -n "$file" ]; then
    found=$(files_of "$file")
    n_files=$((n_files + 1))
    [ -n "$found" ] || { fail "docs/tour.md names '$file', which is no file"; continue; }
  else
    found=$(grep -lrw --include='*.[ch]' "$name" $rooms)
  fi
  [ -n "$name" ] || continue
  n_functions=$((n_functions + 1))
  defined=no
  for f in $found; do
    defines "$f" "$name" && defined=yes && break
  done
  if [ $defined = no ] && [ -z "$file" ]; then
    grep -qE "\(\*$name\)|^\} $name;" include/rl/*/*.h && defined=yes
    grep -qF "| \`$name\` |" docs/recipe.md && defined=yes
  fi
  [ $defined = yes ] || fail "docs/tour.md names '$span', which is no function ${file:+of '$file'}"
done < <(tr '\n' ' ' <docs/tour.md | grep -o '`[^`]*`' | tr -d '`')
[ $n_files -ge 30 ] && [ $n_functions -ge 40 ] || fail "only $n_files files and $n_functions functions in the tour"

# Links, without their anchors.
n_links=0
for page in README.md docs/*.md recipes/README.md models/README.md models/tiny-coder/README.md tools/tiny_coder/README.md; do
  while read -r link; do
    n_links=$((n_links + 1))
    [ -e "$(dirname "$page")/$link" ] || fail "$page links to '$link', which is not there"
  done < <(grep -o '\](\([^)#]*\)' "$page" | sed 's/^](//' | grep -v -e '^$' -e '^[a-z]*:')
done
[ $n_links -ge 10 ] || fail "only $n_links links found"

[ "$failures" = 0 ] && echo "the documentation agrees with the program: $n_files files, $n_functions functions, $n_links links"
[ "$failures" = 0 ]
