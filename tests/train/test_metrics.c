#include "rl/train/metrics.h"

#include <math.h>

#include "tests/support/support.h"

static void prints_in_order(void **state) {
    rl_metrics m = {0};
    rl_str out = {0};
    (void)state;
    rl_metrics_put(&m, 3, "step");
    rl_metrics_put(&m, 0.1, "turn%d/reward", 2);
    rl_metrics_put(&m, (double)NAN, "turn2/solved");
    rl_metrics_put(&m, (double)INFINITY, "loss");
    rl_metrics_print(&m, &out);
    assert_string_equal(rl_str_text(&out),
                        "{\"step\":3,\"turn2/reward\":0.1,\"turn2/solved\":null,\"loss\":null}\n");
    assert_true(rl_metrics_get(&m, "turn2/reward") == 0.1);
    assert_true(isnan(rl_metrics_get(&m, "absent")));
    rl_str_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(prints_in_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
