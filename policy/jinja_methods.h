/* What methods and filters of texts share. */
#ifndef RL_POLICY_JINJA_METHODS_H
#define RL_POLICY_JINJA_METHODS_H

#include "policy/jinja_run.h"

/* Every word's first letter upper, the others lower. Words of the filter end at spaces, '-' and
 * opening brackets; those of the method at whatever is no letter. */
rl_status rl_jinja_title(rl_jinja_run *run, rl_jinja_text text, bool is_filter,
                         rl_jinja_value *out) RL_MUST_USE;
const rl_jinja_func *rl_jinja_find_text_method(rl_jinja_text name);

#endif
