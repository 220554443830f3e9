/* The strict reading of a JSON text, before any tree is built; private to json.c and its tests. */
#ifndef RL_CORE_JSON_SCAN_H
#define RL_CORE_JSON_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "rl/core/json.h"
#include "rl/core/status.h"

/* Deeper nesting is refused, so that no recursion over a tree can exhaust the stack. */
enum { RL_JSON_DEPTH = 200 };

/*
 * RL_OK when text is one JSON value (RFC 8259) with nothing around it but white space, without
 * duplicate keys, NUL characters or lone surrogates. line is 0 for a text that counts its own
 * lines, else the number that errors give.
 */
rl_status rl_json_scan(const char *text, size_t text_len, const char *name, int64_t line,
                       rl_err *err) RL_MUST_USE;

/*
 * The same, and tells where members inner[i] of the outermost object's member `outer` lie: span[i],
 * with text NULL where there is none or it is neither list nor object. Keys directly inside such an
 * object are not compared with each other: that is left to whoever reads them.
 */
rl_status rl_json_scan_find(const char *text, size_t text_len, const char *name, const char *outer,
                            const char *const *inner, size_t n_inner, rl_json_span *span,
                            rl_err *err) RL_MUST_USE;

#endif
