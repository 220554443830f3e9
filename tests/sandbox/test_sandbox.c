/* The sandbox as a program inside meets it, through the real helper. */
#include "tests/sandbox/jail_test.h"

#include <signal.h>

#include "rl/core/alloc.h"
#include "rl/core/clock.h"
#include "rl/core/pool.h"

static void tells_how_programs_end(void **state) {
    (void)state;
    rl_report r = shell("echo out; echo err >&2");
    assert_int_equal(r.kind, RL_EXIT_CLEAN);
    assert_text(r.out, r.out_len, "out\n");
    assert_text(r.err, r.err_len, "err\n");
    assert_null(r.result);
    r = shell("exit 7");
    assert_int_equal(r.kind, RL_EXIT_CODE);
    assert_int_equal(r.code, 7);
    r = shell("kill -SEGV $$");
    assert_int_equal(r.kind, RL_EXIT_SIGNAL);
    assert_int_equal(r.code, SIGSEGV);
    r = shell("kill -KILL $$");
    assert_int_equal(r.kind, RL_EXIT_SIGNAL);
    assert_int_equal(r.code, SIGKILL);
}

static void passes_input_and_result(void **state) {
    (void)state;
    const char *argv[] = {"/bin/sh", "-c", "cat >&3; echo seen", NULL};
    size_t len = 300000; // more than a pipe holds
    char *input = rl_alloc(len + 1, 1);
    memset(input, 'x', len);
    rl_report r = run_in(jail, argv, input, true, NULL);
    assert_int_equal(r.kind, RL_EXIT_CLEAN);
    assert_int_equal(r.result_len, len);
    assert_memory_equal(r.result, input, len);
    assert_text(r.out, r.out_len, "seen\n");
    // A program that does not read its input is not waited for.
    const char *deaf[] = {"/bin/true", NULL};
    r = run_in(jail, deaf, input, false, NULL);
    assert_int_equal(r.kind, RL_EXIT_CLEAN);
    rl_free(input);
}

static void tells_its_own_failures_apart(void **state) {
    (void)state;
    const char *argv[] = {"/no/such/program", NULL};
    rl_job job = {.argv = argv, .limits = rl_sandbox_limits(jail)};
    rl_report report;
    rl_err err;
    assert_int_equal(rl_sandbox_run(jail, &job, arena, &report, &err), RL_IO);
    assert_int_equal(report.kind, RL_EXIT_BROKEN);
    assert_non_null(strstr(err.text, "/no/such/program"));
    job.limits.wall_ms = 0;
    assert_int_equal(rl_sandbox_run(jail, &job, arena, &report, &err), RL_UNSUPPORTED);
    assert_int_equal(report.kind, RL_EXIT_BROKEN);
}

/* Each program prints "ok" when what it tried was refused in the way it should be. */
static void contains(void **state) {
    (void)state;
    static const struct {
        const char *name, *code;
    } table[] = {
        {"internet", "import _socket as s\n"
                     "try: s.socket(s.AF_INET, s.SOCK_STREAM).connect(('192.0.2.7', 80))\n"
                     "except OSError as e: print('ok' if e.errno == 101 else e)"},
        {"loopback of the host",
         "import _socket as s\n"
         "try: s.socket(s.AF_INET, s.SOCK_STREAM).connect(('127.0.0.1', 22))\n"
         "except OSError as e: print('ok' if e.errno == 101 else e)"},
        {"other socket families", "import _socket as s\n"
                                  "n = 0\n"
                                  "for f in (16, 17, 29, 38, 40, 44):\n"
                                  "  try: s.socket(f, s.SOCK_DGRAM)\n"
                                  "  except OSError: n += 1\n"
                                  "print('ok' if n == 6 else n)"},
        {"host files", "import posix\n"
                       "seen = sorted(posix.listdir('/'))\n"
                       "left = [n for n in seen if n not in ('bin','sbin','lib','lib32','lib64',"
                       "'libx32','usr','etc','dev','tmp')]\n"
                       "print('ok' if not left else left)"},
        {"secrets in etc", "import posix\n"
                           "print('ok' if 'shadow' not in posix.listdir('/etc') else 'seen')"},
        {"writing elsewhere", "import posix\n"
                              "n = 0\n"
                              "for p in ('/a', '/etc/a', '/usr/a', '/usr/lib/a', '/dev/a'):\n"
                              "  try: posix.open(p, posix.O_WRONLY | posix.O_CREAT)\n"
                              "  except OSError: n += 1\n"
                              "print('ok' if n == 5 else n)"},
        {"own identity", "import posix\n"
                         "print('ok' if posix.getresuid() == (1000,) * 3 and posix.getgroups() in "
                         "([], [1000], [65534]) else (posix.getresuid(), posix.getgroups()))"},
        {"becoming root", "import posix\n"
                          "try: posix.setuid(0)\n"
                          "except OSError: print('ok')"},
        {"environment", "import posix\n"
                        "print('ok' if len(posix.environ) == 5 else posix.environ)"},
        {"descriptors", "import posix\n"
                        "n = 0\n"
                        "for fd in range(3, 128):\n"
                        "  try: posix.fstat(fd); n += 1\n"
                        "  except OSError: pass\n"
                        "print('ok' if n == 0 else n)"},
        {"other processes", "import posix\n"
                            "n = 0\n"
                            "for pid in range(3, 3000):\n"
                            "  try:\n"
                            "    if pid != posix.getpid(): posix.kill(pid, 0); n += 1\n"
                            "  except OSError: pass\n"
                            "print('ok' if n == 0 and posix.getppid() == 1 else n)"},
        {"signals to init", "import posix, time\n"
                            "for n in range(1, 65): posix.kill(1, n)\n"
                            "posix.kill(1, 15); posix.kill(1, 17); time.sleep(0.3)\n"
                            "print('ok')"},
        {"limits of init", "import resource, time\n"
                           "try: resource.prlimit(1, resource.RLIMIT_CPU, (1, 1))\n"
                           "except OSError as e: print('ok' if e.errno == 38 else e)"},
        {"limits of its own", "import resource\n"
                              "resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))\n"
                              "now = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
                              "print('ok' if now == (20, 20) else now)"},
        {"devices", "import posix\n"
                    "n = posix.write(posix.open('/dev/null', posix.O_WRONLY), b'x')\n"
                    "n += len(posix.read(posix.open('/dev/urandom', posix.O_RDONLY), 9))\n"
                    "print('ok' if n == 10 else n)"},
        {"scratch files", "f = open('/tmp/a', 'w'); f.write('x'); f.close()\n"
                          "print('ok' if open('a').read() == 'x' else 'lost')"},
        {"host name", "import posix\n"
                      "print('ok' if posix.uname().nodename == 'jail' else posix.uname())"},
    };
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        rl_report r = python(table[i].code);
        if (r.kind != RL_EXIT_CLEAN || r.out_len != 3 || memcmp(r.out, "ok\n", 3) != 0) {
            fail_msg("%s: kind %d code %d, '%.*s' '%.*s'", table[i].name, (int)r.kind, r.code,
                     (int)r.out_len, r.out, (int)r.err_len, r.err);
        }
    }
}

/* System calls by number, with arguments that do no harm where they are not refused. */
static void refuses_calls(void **state) {
    (void)state;
#ifdef __x86_64__
    static const struct {
        const char *name;
        int number;
    } table[] = {{"ptrace", 101},
                 {"mount", 165},
                 {"umount2", 166},
                 {"pivot_root", 155},
                 {"chroot", 161},
                 {"unshare", 272},
                 {"setns", 308},
                 {"bpf", 321},
                 {"perf_event_open", 298},
                 {"userfaultfd", 323},
                 {"keyctl", 250},
                 {"add_key", 248},
                 {"io_uring_setup", 425},
                 {"clone3", 435},
                 {"process_vm_readv", 310},
                 {"memfd_create", 319},
                 {"shmget", 29},
                 {"init_module", 175},
                 {"kexec_load", 246},
                 {"open_by_handle_at", 304}};
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        char code[400];
        snprintf(code, sizeof code,
                 "import ctypes\n"
                 "libc = ctypes.CDLL(None, use_errno=True)\n"
                 "r = libc.syscall(%d, -1, -1, -1, -1, -1)\n"
                 "print('ok' if r == -1 and ctypes.get_errno() == 38 else (r, "
                 "ctypes.get_errno()))",
                 table[i].number);
        rl_report r = python(code);
        if (r.out_len != 3 || memcmp(r.out, "ok\n", 3) != 0) {
            fail_msg("%s: kind %d code %d, '%.*s' '%.*s'", table[i].name, (int)r.kind, r.code,
                     (int)r.out_len, r.out, (int)r.err_len, r.err);
        }
    }
    // New namespaces through clone's flags (CLONE_NEWUSER | SIGCHLD).
    rl_report r = python("import ctypes\n"
                         "libc = ctypes.CDLL(None, use_errno=True)\n"
                         "r = libc.syscall(56, 0x10000011, 0, 0, 0, 0)\n"
                         "print('ok' if r == -1 and ctypes.get_errno() == 38 else r)");
    assert_text(r.out, r.out_len, "ok\n");
#else
    print_message("skipped: the numbers are those of x86-64\n");
    skip();
#endif
}

static void stops_what_does_not_end(void **state) {
    (void)state;
    static const struct {
        const char *name, *code;
        rl_exit_kind kind;
        int64_t wall_ms;
    } table[] = {
        {"endless loop", "while True: pass", RL_EXIT_TIMEOUT, 2900},
        {"sleep", "import time; time.sleep(600)", RL_EXIT_TIMEOUT, 500},
        {"sleep with closed output",
         "import posix, time\nposix.close(1); posix.close(2); time.sleep(600)", RL_EXIT_TIMEOUT,
         500},
        {"deaf to signals",
         "import _signal as s\n"
         "for n in range(1, 32):\n"
         "  try: s.signal(n, s.SIG_IGN)\n"
         "  except (OSError, ValueError): pass\n"
         "while True: pass",
         RL_EXIT_TIMEOUT, 500},
        {"stopped", "import posix; posix.kill(posix.getpid(), 19)", RL_EXIT_TIMEOUT, 500},
        {"memory", "x = []\nwhile True: x.append(bytearray(1 << 20))", RL_EXIT_MEMORY, 3000},
        {"shared memory of several processes",
         "import posix, mmap, time\n"
         "for i in range(3):\n"
         "  if posix.fork() == 0:\n"
         "    m = mmap.mmap(-1, 60 << 20); m.write(b'x' * (60 << 20)); time.sleep(600)\n"
         "time.sleep(600)",
         RL_EXIT_MEMORY, 2900},
        {"endless output", "while True: print('x' * 4000)", RL_EXIT_TIMEOUT, 500},
    };
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        const char *argv[] = {rl_sandbox_python(jail), "-I", "-S", "-c", table[i].code, NULL};
        rl_limits limits = rl_sandbox_limits(jail);
        limits.wall_ms = table[i].wall_ms;
        limits.cpu_ms = 1000;
        double begin = rl_clock_now();
        rl_report r = run_in(jail, argv, NULL, false, &limits);
        double took = rl_clock_now() - begin;
        if (r.kind != table[i].kind || took > 1e-3 * (double)table[i].wall_ms + 2.0) {
            fail_msg("%s: kind %d code %d after %.2f s, '%.*s'", table[i].name, (int)r.kind, r.code,
                     took, (int)r.err_len, r.err);
        }
        assert_true(r.out_len <= (size_t)limits.out_bytes);
    }
}

static void keeps_output_up_to_its_cap(void **state) {
    (void)state;
    rl_report r = python("print('x' * 1000000)");
    assert_int_equal(r.kind, RL_EXIT_OUTPUT);
    assert_int_equal(r.out_len, 16 << 10);
}

static void bounds_processes_and_files(void **state) {
    (void)state;
    rl_report r = python("import posix, time\n"
                         "n = 0\n"
                         "try:\n"
                         "  while n < 100:\n"
                         "    if posix.fork() == 0: time.sleep(600)\n"
                         "    n += 1\n"
                         "except OSError: print('ok' if 5 < n < 14 else n)");
    assert_int_equal(r.kind, RL_EXIT_CLEAN);
    assert_text(r.out, r.out_len, "ok\n");
    r = python(
        "import posix\n"
        "n = 0\n"
        "try:\n"
        "  while True:\n"
        "    posix.close(posix.open('/tmp/%d' % n, posix.O_WRONLY | posix.O_CREAT)); n += 1\n"
        "except OSError: print('ok' if 3000 < n < 5000 else n)");
    assert_text(r.out, r.out_len, "ok\n");
    r = python("n = 0\n"
               "try:\n"
               "  for i in range(400):\n"
               "    open('/tmp/%d' % i, 'wb').write(b'x' * (1 << 20)); n += 1\n"
               "except OSError: print('ok' if 30 < n < 70 else n)");
    assert_text(r.out, r.out_len, "ok\n");
}

static void leaves_nothing_behind(void **state) {
    (void)state;
    // A daemon in a session of its own, holding the output open.
    double begin = rl_clock_now();
    rl_report r = shell("echo hi > /tmp/left; (setsid sleep 98765 &) ; echo done");
    assert_int_equal(r.kind, RL_EXIT_CLEAN);
    assert_text(r.out, r.out_len, "done\n");
    assert_true(rl_clock_now() - begin < 2.5);
    assert_int_equal(count_processes("98765"), 0);
    r = shell("ls -A /tmp | wc -l");
    assert_text(r.out, r.out_len, "0\n");
}

typedef struct pair_job {
    const char *code;
    rl_report report;
    rl_arena *arena;
} pair_job;

static void run_pair(void *context, int64_t begin, int64_t end, int32_t worker) {
    pair_job *pair = context;
    rl_err err;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const char *argv[] = {rl_sandbox_python(jail), "-I", "-S", "-c", pair[i].code, NULL};
        rl_job job = {.argv = argv, .limits = rl_sandbox_limits(jail)};
        if (rl_sandbox_run(jail, &job, pair[i].arena, &pair[i].report, &err) != RL_OK) {
            pair[i].report.kind = RL_EXIT_BROKEN;
        }
    }
}

static void keeps_jobs_apart(void **state) {
    (void)state;
    // Each leaves a file and an abstract socket, waits for the other, and looks for the other's.
    static const char *const code[] = {"import posix, time, _socket as s\n"
                                       "open('/tmp/one', 'w').close()\n"
                                       "k = s.socket(s.AF_UNIX); k.bind(b'\\0one'); k.listen(1)\n"
                                       "time.sleep(0.7)\n"
                                       "print(posix.listdir('/tmp'))",
                                       "import posix, time, _socket as s\n"
                                       "time.sleep(0.4)\n"
                                       "open('/tmp/two', 'w').close()\n"
                                       "try: s.socket(s.AF_UNIX).connect(b'\\0one'); print('met')\n"
                                       "except OSError: print(posix.listdir('/tmp'))"};
    pair_job pair[2];
    rl_pool *pool;
    rl_err err;
    assert_ok(rl_pool_new(2, false, &pool, &err));
    for (int i = 0; i < 2; i++) {
        pair[i] = (pair_job){.code = code[i], .arena = rl_arena_new(0)};
    }
    rl_pool_run(pool, 2, 1, run_pair, pair);
    assert_text(pair[0].report.out, pair[0].report.out_len, "['one']\n");
    assert_text(pair[1].report.out, pair[1].report.out_len, "['two']\n");
    rl_pool_free(pool);
    for (int i = 0; i < 2; i++) {
        rl_arena_free(pair[i].arena);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_how_programs_end),
        cmocka_unit_test(passes_input_and_result),
        cmocka_unit_test(tells_its_own_failures_apart),
        cmocka_unit_test(contains),
        cmocka_unit_test(refuses_calls),
        cmocka_unit_test(keeps_output_up_to_its_cap),
        cmocka_unit_test(stops_what_does_not_end),
        cmocka_unit_test(bounds_processes_and_files),
        cmocka_unit_test(leaves_nothing_behind),
        cmocka_unit_test(keeps_jobs_apart),
    };
    return run_twice(tests, RL_COUNT(tests));
}
