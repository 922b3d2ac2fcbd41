/* A small program over src/ssh/ssh.h for tests/system/ssh_openssh.sh and for measuring: does what
 * its arguments say, one after the other, in one session, and prints facts as `name value` lines.
 *
 *   ssh_driver HOST PORT USER KEYFILE KNOWN_HOSTS [pin|pinned] STEP...
 *   steps:  exec COMMAND        output to our stdout and stderr; prints "exit N" on stderr
 *           quiet COMMAND       output thrown away; prints exit, bytes, truncated
 *           input FILE COMMAND  the file on its standard input
 *           timeout MS COMMAND  expects the deadline to pass
 *           up LOCAL REMOTE MODE     down REMOTE LOCAL LIMIT
 *           again N COMMAND     N times, prints the mean time
 *           sleep SECONDS
 *   ssh_driver keygen N OUT     writes OUT.0, OUT.0.pub ...
 *   ssh_driver quote            standard input, quoted, to standard output */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "ssh/ssh.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int complain(const char *what, struct vmm_error *e)
{
    fprintf(stderr, "%s failed: code %s reason %s\n", what, vmm_error_code_name(vmm_error_code(e)),
        vmm_error_reason(e) ? vmm_error_reason(e) : "-");
    for (const struct vmm_error *at = e; at; at = vmm_error_cause(at))
        fprintf(stderr, "  %s\n", vmm_error_message(at));
    if (vmm_error_help(e))
        fprintf(stderr, "  help: %s\n", vmm_error_help(e));
    vmm_error_free(e);
    return 1;
}

static void to_stdout(void *arg, const char *p, size_t n)
{
    (void)arg;
    (void)fs_write_all(STDOUT_FILENO, p, n);
}

static void to_stderr(void *arg, const char *p, size_t n)
{
    (void)arg;
    (void)fs_write_all(STDERR_FILENO, p, n);
}

static void on_stage(void *arg, enum ssh_stage stage, unsigned attempt)
{
    fprintf(stderr, "stage %s attempt %u after %.1f ms\n", ssh_stage_name(stage), attempt,
        now_ms() - *(double *)arg);
}

static void on_host_key(void *arg, const char *fingerprint, bool is_new)
{
    (void)arg;
    fprintf(stderr, "host-key %s %s\n", fingerprint, is_new ? "new" : "known");
}

static int run(struct ssh_session *s, const char *command, const struct ssh_exec_opts *o)
{
    struct vmm_error *e = NULL;
    struct ssh_result r;
    const double begin = now_ms();
    if (ssh_exec(s, command, o, &r, &e) < 0)
        return complain("exec", e);
    fprintf(stderr, "exit %d signal %s bytes %" PRIu64 " truncated %d left_open %d ms %.1f\n",
        r.exit_status, *r.signal ? r.signal : "-", r.bytes, r.is_truncated, r.is_left_open,
        now_ms() - begin);
    return 0;
}

static int expect_timeout(struct ssh_session *s, int64_t ms, const char *command)
{
    struct vmm_error *e = NULL;
    struct ssh_result r;
    const double begin = now_ms();
    if (ssh_exec(s, command, &(struct ssh_exec_opts){.deadline = deadline_in_ms(ms)}, &r, &e) == 0)
        return 1;
    fprintf(stderr, "late_by_ms %.0f alive %d\n", now_ms() - begin - (double)ms,
        ssh_session_is_alive(s));
    const bool fits = vmm_error_code(e) == VMM_E_WAIT_TIMEOUT;
    complain("exec", e);
    return !fits;
}

static int move(
    struct ssh_session *s, bool is_up, const char *local, const char *remote, const char *number)
{
    struct vmm_error *e = NULL;
    cleanup_close int fd = is_up ? open(local, O_RDONLY | O_CLOEXEC)
                                 : open(local, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return 1;
    const double begin = now_ms();
    const int r =
        is_up ? ssh_upload(s, fd, remote,
                    &(struct ssh_transfer_opts){.mode = (mode_t)strtoul(number, NULL, 8)}, &e)
              : ssh_download(s, remote, fd,
                    &(struct ssh_transfer_opts){.limit_bytes = strtoull(number, NULL, 10)}, &e);
    if (r < 0)
        return complain(is_up ? "upload" : "download", e);
    struct stat st;
    fstat(fd, &st);
    const double ms = now_ms() - begin;
    fprintf(stderr, "%s %lld bytes ms %.1f MB/s %.1f\n", is_up ? "up" : "down",
        (long long)st.st_size, ms, (double)st.st_size / ms / 1e3);
    return 0;
}

static int again(struct ssh_session *s, int n, const char *command)
{
    const double begin = now_ms();
    for (int i = 0; i < n; i++) {
        struct ssh_result r;
        if (ssh_exec(s, command, NULL, &r, NULL) < 0)
            return 1;
    }
    fprintf(stderr, "mean_ms %.2f\n", (now_ms() - begin) / n);
    return 0;
}

static int step(struct ssh_session *s, char ***at)
{
    char **a = *at;
    const struct ssh_exec_opts shown = {.on_stdout = to_stdout, .on_stderr = to_stderr};
    if (strcmp(a[0], "exec") == 0 && a[1])
        return *at += 2, run(s, a[1], &shown);
    if (strcmp(a[0], "quiet") == 0 && a[1])
        return *at += 2, run(s, a[1], NULL);
    if (strcmp(a[0], "input") == 0 && a[1] && a[2]) {
        cleanup_buf struct buf text = {0};
        if (fs_read_file(a[1], 1 << 30, &text) < 0)
            return 1;
        *at += 3;
        return run(s, a[2],
            &(struct ssh_exec_opts){
                .on_stdout = to_stdout, .on_stderr = to_stderr, .stdin_bytes = {text.p, text.n}});
    }
    if (strcmp(a[0], "timeout") == 0 && a[1] && a[2])
        return *at += 3, expect_timeout(s, atoll(a[1]), a[2]);
    if (strcmp(a[0], "up") == 0 && a[1] && a[2] && a[3])
        return *at += 4, move(s, true, a[1], a[2], a[3]);
    if (strcmp(a[0], "down") == 0 && a[1] && a[2] && a[3])
        return *at += 4, move(s, false, a[2], a[1], a[3]);
    if (strcmp(a[0], "again") == 0 && a[1] && a[2])
        return *at += 3, again(s, atoi(a[1]), a[2]);
    if (strcmp(a[0], "sleep") == 0 && a[1])
        return *at += 2, (int)sleep((unsigned)atoi(a[1]));
    fprintf(stderr, "what is \"%s\"?\n", a[0]);
    return 2;
}

static int keygen(unsigned n, const char *out)
{
    struct vmm_error *e = NULL;
    struct ssh_key_pair pairs[SSH_KEYS_AT_ONCE_MAX];
    const char *comments[SSH_KEYS_AT_ONCE_MAX];
    for (unsigned i = 0; i < n && i < SSH_KEYS_AT_ONCE_MAX; i++)
        comments[i] = "driver test";
    const double begin = now_ms();
    if (ssh_generate_keys(comments, n, pairs, &e) < 0)
        return complain("keygen", e);
    fprintf(stderr, "keygen %u ms %.1f\n", n, now_ms() - begin);
    for (unsigned i = 0; i < n; i++) {
        char name[4096];
        snprintf(name, sizeof(name), "%s.%u", out, i);
        const int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        (void)fs_write_all(fd, pairs[i].private_openssh, strlen(pairs[i].private_openssh));
        close(fd);
        snprintf(name, sizeof(name), "%s.%u.pub", out, i);
        FILE *f = fopen(name, "we");
        fprintf(f, "%s\n", pairs[i].public_line);
        fclose(f);
        ssh_key_pair_done(&pairs[i]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "keygen") == 0)
        return keygen((unsigned)atoi(argv[2]), argv[3]);
    if (argc == 2 && strcmp(argv[1], "quote") == 0) {
        cleanup_buf struct buf in = {0};
        cleanup_buf struct buf out = {0};
        if (fs_read_all(STDIN_FILENO, 1 << 20, &in) < 0)
            return 1;
        ssh_quote(&out, (struct str){in.p, in.n});
        return fs_write_all(STDOUT_FILENO, out.p, out.n) < 0;
    }
    if (argc < 7)
        return 2;
    cleanup_buf struct buf key = {0};
    if (strcmp(argv[4], "-") != 0 && fs_read_file(argv[4], 65536, &key) < 0)
        return 1;
    const char *timeout = getenv("SSH_DRIVER_TIMEOUT_MS");
    struct vmm_error *e = NULL;
    cleanup_ssh_session struct ssh_session *s = NULL;
    double begin = now_ms();
    const int r = ssh_connect_with_retry(
        &(struct ssh_target){
            .host = argv[1],
            .port = (unsigned)atoi(argv[2]),
            .user = argv[3],
            .private_key = key.n ? buf_cstr(&key) : NULL,
            .known_hosts_path = argv[5],
            .host_key_policy =
                strcmp(argv[6], "pin") == 0 ? SSH_HOST_KEY_PIN_FIRST : SSH_HOST_KEY_PINNED,
        },
        &(struct ssh_connect_opts){.deadline = deadline_in_ms(timeout ? atoll(timeout) : 10000),
            .on_stage = on_stage,
            .on_host_key = on_host_key,
            .arg = &begin},
        &s, &e);
    if (r < 0)
        return complain("connect", e);
    fprintf(stderr, "connect ms %.1f, %s\n", now_ms() - begin, ssh_session_confinement(s));
    int failed = 0;
    for (char **at = argv + 7; *at && !failed;)
        failed = step(s, &at);
    const double closing = now_ms();
    ssh_session_close(TAKE_PTR(s));
    fprintf(stderr, "closed in ms %.1f, all in ms %.1f\n", now_ms() - closing, now_ms() - begin);
    return failed;
}
