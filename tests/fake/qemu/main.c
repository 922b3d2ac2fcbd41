/* Start-up, loop, timers and the machine that is not there. */
#include "fake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { TIMERS_MAX = 64, GOODBYE_MS = 200 };

struct timer {
    int64_t due_ms;
    enum timer_kind kind;
    struct chardev *chardev;
    json_t *request;
};

struct fake fake = {.status = "prelaunch"};

static struct timer timers[TIMERS_MAX];
static size_t timer_count;

static void remove_pidfile(void)
{
    if (fake.made_pidfile)
        unlink(fake.pidfile);
}

void die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "qemu-system-x86_64: ");
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    remove_pidfile();
    exit(1);
}

char *format(const char *fmt, ...)
{
    char *text;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    return text;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void timer_add(int64_t in_ms, enum timer_kind kind, struct chardev *c, json_t *request)
{
    if (timer_count == TIMERS_MAX)
        die("fake: too many timers");
    timers[timer_count++] = (struct timer){
        .due_ms = now_ms() + in_ms,
        .kind = kind,
        .chardev = c,
        .request = request,
    };
}

static void timer_remove(size_t i)
{
    timers[i] = timers[--timer_count];
}

void timers_forget(const struct chardev *c)
{
    for (size_t i = timer_count; i-- > 0;) {
        if (timers[i].chardev != c)
            continue;
        json_decref(timers[i].request);
        timer_remove(i);
    }
}

static void run_timers(void)
{
    const int64_t now = now_ms();
    for (size_t i = 0; i < timer_count;) {
        const struct timer t = timers[i];
        if (t.due_ms > now) {
            i++;
            continue;
        }
        timer_remove(i);
        if (t.kind == TIMER_GUEST_OFF)
            shut_down(true, "guest-shutdown");
        monitor_unhurry(t.chardev, t.request);
    }
}

static int timeout_ms(void)
{
    int64_t soonest = -1;
    for (size_t i = 0; i < timer_count; i++) {
        const int64_t left = timers[i].due_ms > now_ms() ? timers[i].due_ms - now_ms() : 0;
        if (soonest < 0 || left < soonest)
            soonest = left;
    }
    return (int)soonest;
}

static void say_as(enum role role, const void *p, size_t n)
{
    for (size_t i = 0; i < fake.chardev_count; i++) {
        if (fake.chardevs[i].role == role) {
            chardev_say(&fake.chardevs[i], p, n);
            return;
        }
    }
}

/* Says what the rule's file holds; without the rule `otherwise`. */
static void play(enum role role, const struct rule *rule, const char *otherwise)
{
    if (!rule || !rule->all) {
        say_as(role, otherwise, strlen(otherwise));
        return;
    }
    const int fd = open(rule->all, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die("fake: %s %s: %s", rule->verb, rule->all, strerror(errno));
    char chunk[16384];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof(chunk))) > 0)
        say_as(role, chunk, (size_t)n);
    close(fd);
}

void guest_console(void)
{
    static const char lines[] = "fake: hello\r\n"
                                "fake: a machine without parts\r\n"
                                "fake login: ";
    static const char firmware[] = "SeaBIOS (version 1.16.2-debian-1.16.2-1)\n"
                                   "BUILD: gcc: (Debian 12.2.0-14) 12.2.0\n"
                                   "Booting from Hard Disk...\n"
                                   "Booting from 0000:7c00\n";
    /* Whoever connected before the word that set us going must not miss the first byte. */
    chardevs_accept_waiting();
    play(ROLE_FIRMWARE, script_rule("firmware", NULL), firmware);
    play(ROLE_SERIAL, script_rule("console", NULL), lines);
}

void guest_start(void)
{
    fake.status = "running";
    if (!fake.was_started) {
        fake.was_started = true;
        guest_console();
    }
}

/* What is said last must arrive, but nobody is waited for who does not listen. */
static void say_goodbye(void)
{
    const int64_t end = now_ms() + GOODBYE_MS;
    for (size_t i = 0; i < fake.chardev_count; i++) {
        struct chardev *c = &fake.chardevs[i];
        while (c->client_fd >= 0 && c->out.n && now_ms() < end) {
            struct pollfd pfd = {.fd = c->client_fd, .events = POLLOUT};
            poll(&pfd, 1, (int)(end - now_ms()));
            chardev_flush(c);
        }
    }
}

void shut_down(bool by_guest, const char *reason)
{
    if (reason)
        emit_event("SHUTDOWN", json_pack("{s:b,s:s}", "guest", by_guest, "reason", reason));
    fake.status = "shutdown";
    say_goodbye();
    for (size_t i = 0; i < fake.chardev_count; i++) {
        if (fake.chardevs[i].path)
            unlink(fake.chardevs[i].path);
    }
    remove_pidfile();
    exit(0);
}

static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void take_signal(int signal_fd)
{
    struct signalfd_siginfo info;
    if (read(signal_fd, &info, sizeof(info)) != sizeof(info) || script_rule("ignore-sigterm", NULL))
        return;
    fprintf(stderr, "qemu-system-x86_64: terminating on signal %u from pid %u (fake)\n",
        info.ssi_signo, info.ssi_pid);
    shut_down(false, "host-signal");
}

static void poll_once(int signal_fd)
{
    struct pollfd fds[CHARDEVS_MAX + 1] = {{.fd = signal_fd, .events = POLLIN}};
    for (size_t i = 0; i < fake.chardev_count; i++) {
        const struct chardev *c = &fake.chardevs[i];
        const bool has_client = c->client_fd >= 0;
        const bool has_words = c->out.n || c->huge_left || c->is_flooding;
        fds[i + 1] = (struct pollfd){
            .fd = has_client ? c->client_fd : c->listen_fd,
            .events = (short)(POLLIN | (has_client && has_words ? POLLOUT : 0)),
        };
    }
    if (poll(fds, fake.chardev_count + 1, timeout_ms()) < 0)
        return;
    if (fds[0].revents)
        take_signal(signal_fd);
    for (size_t i = 0; i < fake.chardev_count; i++) {
        struct chardev *c = &fake.chardevs[i];
        const short got = fds[i + 1].revents;
        if (c->client_fd < 0 && got & POLLIN) {
            chardev_accept(c);
        } else if (c->client_fd >= 0) {
            if (got & (POLLIN | POLLHUP | POLLERR))
                chardev_hear(c);
            if (c->client_fd >= 0 && got & POLLOUT)
                chardev_flush(c);
        }
    }
    run_timers();
}

static void exit_early(void)
{
    const struct rule *rule = script_rule("exit-before-socket", NULL);
    if (!rule)
        return;
    fprintf(stderr, "qemu-system-x86_64: %s\n",
        rule->rest ? rule->rest : "fake: told to end before there is a socket");
    exit(rule->command ? atoi(rule->command) : 1);
}

int main(int argc, char **argv)
{
    args_read(argc, argv);
    script_read();
    exit_early();
    const int signal_fd = open_signals();
    args_open();
    if (!fake.wants_pause)
        guest_start();
    for (;;)
        poll_once(signal_fd);
}
