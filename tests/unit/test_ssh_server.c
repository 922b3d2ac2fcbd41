#define SSH_SUPPRESS_DEPRECATED
#include "test_ssh_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <libssh/libssh.h>
#include <libssh/server.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- SFTP ---------------------------------------------------------------------------------- */

enum { PACKET_MAX = 70000 };

struct sftp {
    ssh_channel channel;
    const char *folder;
    uint8_t in[PACKET_MAX];
    uint8_t out[PACKET_MAX];
    size_t out_n;
    char name[256]; /* of the one open file */
    int fd;
};

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put(struct sftp *s, uint64_t value, unsigned bytes)
{
    while (bytes-- > 0)
        s->out[s->out_n++] = (uint8_t)(value >> (8 * bytes));
}

static void put_bytes(struct sftp *s, const void *p, size_t n)
{
    put(s, n, 4);
    memcpy(s->out + s->out_n, p, n);
    s->out_n += n;
}

static void begin(struct sftp *s, uint8_t type, uint32_t id)
{
    s->out_n = 4;
    put(s, type, 1);
    put(s, id, 4);
}

static void finish(struct sftp *s)
{
    const size_t n = s->out_n;
    s->out_n = 0;
    put(s, n - 4, 4);
    ssh_channel_write(s->channel, s->out, (uint32_t)n);
}

static void status(struct sftp *s, uint32_t id, uint32_t code, const char *words)
{
    begin(s, 101, id);
    put(s, code, 4);
    put_bytes(s, words, strlen(words));
    put_bytes(s, "", 0);
    finish(s);
}

static bool is(const struct sftp *s, const char *name)
{
    return strcmp(s->name, name) == 0;
}

static void do_open(struct sftp *s, uint32_t id, const uint8_t *p)
{
    const uint32_t n = get_u32(p);
    snprintf(s->name, sizeof(s->name), "%.*s", (int)n, (const char *)p + 4);
    const uint32_t flags = get_u32(p + 4 + n);
    if (is(s, "/denied"))
        status(s, id, 3, "Permission denied");
    else if (is(s, "/nodir"))
        status(s, id, 2, "No such file");
    else if (is(s, "/folder"))
        status(s, id, 4, "Failure");
    else if (is(s, "/odd"))
        status(s, id, 4, "it is \033[31mTuesday");
    else {
        if (!is(s, "/full") && !is(s, "/liar") && !is(s, "/toomuch") && !is(s, "/garbage") &&
            !is(s, "/stall")) {
            char path[600];
            snprintf(path, sizeof(path), "%s/%s", s->folder, s->name);
            s->fd = open(path, flags & 2 ? O_RDWR | O_CREAT | O_TRUNC : O_RDONLY, 0600);
            if (s->fd < 0) {
                status(s, id, 2, "No such file");
                return;
            }
        }
        begin(s, 102, id);
        put_bytes(s, "h", 1);
        finish(s);
    }
}

static void do_write(struct sftp *s, uint32_t id, const uint8_t *p)
{
    const uint64_t offset = (uint64_t)get_u32(p + 5) << 32 | get_u32(p + 9);
    if (is(s, "/stall"))
        return;
    if (is(s, "/full") && offset >= 65536) {
        status(s, id, 4, "Failure");
        return;
    }
    if (s->fd >= 0 && pwrite(s->fd, p + 17, get_u32(p + 13), (off_t)offset) < 0)
        abort();
    status(s, id, 0, "");
}

static void do_read(struct sftp *s, uint32_t id, const uint8_t *p)
{
    const uint64_t offset = (uint64_t)get_u32(p + 5) << 32 | get_u32(p + 9);
    uint32_t n = get_u32(p + 13);
    static char bytes[40000];
    if (is(s, "/garbage")) {
        ssh_channel_write(s->channel, "\xff\xff\xff\xffoops", 8);
        return;
    }
    if (is(s, "/stall"))
        return;
    if (is(s, "/toomuch"))
        n += 100;
    if (s->fd >= 0) {
        /* Less than asked for, as any server may. */
        const ssize_t got = pread(s->fd, bytes, n > 1000 ? n - 777 : n, (off_t)offset);
        if (got <= 0) {
            status(s, id, 1, "");
            return;
        }
        n = (uint32_t)got;
    }
    begin(s, 103, id);
    put_bytes(s, bytes, n);
    finish(s);
}

static void do_attributes(struct sftp *s, uint32_t id, bool by_path)
{
    struct stat st = {.st_size = 10};
    if (!by_path && s->fd >= 0)
        fstat(s->fd, &st);
    begin(s, 105, id);
    put(s, 1 | 4, 4);
    put(s, (uint64_t)st.st_size, 8);
    put(s, is(s, "/folder") ? 0040755 : 0100600, 4);
    finish(s);
}

static void do_free_space(struct sftp *s, uint32_t id)
{
    begin(s, 201, id);
    put(s, 4096, 8);
    put(s, 4096, 8);
    put(s, 1000, 8);
    put(s, 50, 8);
    put(s, is(s, "/full") ? 0 : 1000000, 8);
    for (int i = 0; i < 6; i++)
        put(s, 1000, 8);
    finish(s);
}

static bool read_all(ssh_channel channel, uint8_t *to, size_t n)
{
    while (n > 0) {
        const int got = ssh_channel_read(channel, to, (uint32_t)n, 0);
        if (got <= 0)
            return false;
        to += got;
        n -= (size_t)got;
    }
    return true;
}

static void serve_sftp(ssh_channel channel, const char *folder)
{
    static struct sftp s;
    s.channel = channel;
    s.folder = folder;
    s.fd = -1;
    while (read_all(channel, s.in, 4)) {
        const size_t n = get_u32(s.in);
        if (n > sizeof(s.in) || !read_all(channel, s.in, n))
            return;
        const uint32_t id = get_u32(s.in + 1);
        switch (s.in[0]) {
        case 1:
            begin(&s, 2, 3);
            finish(&s);
            break;
        case 3:
            do_open(&s, id, s.in + 5);
            break;
        case 4:
            if (s.fd >= 0)
                close(s.fd);
            s.fd = -1;
            status(&s, id, 0, "");
            break;
        case 5:
            do_read(&s, id, s.in + 5);
            break;
        case 6:
            do_write(&s, id, s.in + 5);
            break;
        case 8:
            do_attributes(&s, id, false);
            break;
        case 10:
            if (s.fd >= 0)
                fchmod(s.fd, get_u32(s.in + 5 + 5 + 4));
            status(&s, id, 0, "");
            break;
        case 17:
            do_attributes(&s, id, true);
            break;
        case 200:
            do_free_space(&s, id);
            break;
        default:
            status(&s, id, 8, "no");
        }
    }
}

/* ---- Commands ------------------------------------------------------------------------------ */

static void write_both(ssh_channel channel, size_t n)
{
    static char line[1000];
    for (size_t at = 0; at < n; at += sizeof(line)) {
        memset(line, 'a' + (int)(at / sizeof(line) % 26), sizeof(line));
        const uint32_t part = (uint32_t)(n - at < sizeof(line) ? n - at : sizeof(line));
        ssh_channel_write(channel, line, part);
        ssh_channel_write_stderr(channel, line, part);
    }
}

static void echo(ssh_channel channel)
{
    char bytes[8192];
    int got;
    while ((got = ssh_channel_read(channel, bytes, sizeof(bytes), 0)) > 0)
        ssh_channel_write(channel, bytes, (uint32_t)got);
}

/* Does not return for commands that end otherwise than with a status. */
static int run_command(ssh_session session, ssh_channel channel, const char *command)
{
    static char much[32768];
    if (strncmp(command, "exit ", 5) == 0)
        return atoi(command + 5);
    if (strncmp(command, "both ", 5) == 0)
        return write_both(channel, strtoul(command + 5, NULL, 10)), 0;
    if (strcmp(command, "cat") == 0)
        return echo(channel), 0;
    if (strncmp(command, "say ", 4) == 0)
        return ssh_channel_write(channel, command + 4, (uint32_t)strlen(command) - 4), 0;
    if (strncmp(command, "signal ", 7) == 0) {
        ssh_channel_request_send_exit_signal(channel, command + 7, 0, "", "");
        return -1;
    }
    if (strcmp(command, "nothing") == 0)
        return -1;
    if (strcmp(command, "flood") == 0) {
        while (ssh_channel_write(channel, much, sizeof(much)) > 0)
            continue;
        _exit(0);
    }
    if (strcmp(command, "die") == 0) {
        ssh_channel_write(channel, much, sizeof(much));
        ssh_blocking_flush(session, 1000);
        /* Until it is read there: a reset would take it back. */
        poll(NULL, 0, 100);
        shutdown(ssh_get_fd(session), SHUT_RDWR);
        _exit(0);
    }
    if (strcmp(command, "linger") == 0) {
        ssh_channel_write(channel, "early", 5);
        ssh_channel_request_send_exit_status(channel, 4);
    }
    /* hang, and the rest of linger: until the client closes the channel, whatever it says before */
    ssh_event event = ssh_event_new();
    ssh_event_add_session(event, session);
    while (ssh_channel_is_open(channel) && ssh_is_connected(session))
        (void)ssh_event_dopoll(event, 100);
    ssh_event_remove_session(event, session);
    ssh_event_free(event);
    return -2;
}

/* ---- One connection ------------------------------------------------------------------------ */

static bool authenticate(ssh_session session, bool is_refused)
{
    ssh_message m;
    while ((m = ssh_message_get(session))) {
        bool is_in = false;
        if (ssh_message_type(m) == SSH_REQUEST_AUTH &&
            ssh_message_subtype(m) == SSH_AUTH_METHOD_PUBLICKEY && !is_refused) {
            if (ssh_message_auth_publickey_state(m) == SSH_PUBLICKEY_STATE_VALID)
                is_in = ssh_message_auth_reply_success(m, 0) == SSH_OK;
            else
                ssh_message_auth_reply_pk_ok_simple(m);
        } else if (ssh_message_type(m) == SSH_REQUEST_SERVICE) {
            ssh_message_service_reply_success(m);
        } else {
            ssh_message_auth_set_methods(m, SSH_AUTH_METHOD_PUBLICKEY | SSH_AUTH_METHOD_PASSWORD);
            ssh_message_reply_default(m);
        }
        ssh_message_free(m);
        if (is_in)
            return true;
    }
    return false;
}

static void serve_channel(
    ssh_session session, ssh_channel channel, ssh_message m, const struct server_opts *o)
{
    if (ssh_message_subtype(m) == SSH_CHANNEL_REQUEST_SUBSYSTEM && o->folder) {
        ssh_message_channel_request_reply_success(m);
        serve_sftp(channel, o->folder);
    } else if (ssh_message_subtype(m) == SSH_CHANNEL_REQUEST_EXEC) {
        char command[4096];
        snprintf(command, sizeof(command), "%s", ssh_message_channel_request_command(m));
        ssh_message_channel_request_reply_success(m);
        const int code = run_command(session, channel, command);
        if (code >= 0)
            ssh_channel_request_send_exit_status(channel, code);
    } else {
        ssh_message_reply_default(m);
        return;
    }
    ssh_channel_send_eof(channel);
    ssh_channel_close(channel);
}

static void serve_ssh(int fd, const struct server_opts *o, ssh_key key, bool is_refused)
{
    ssh_bind bind = ssh_bind_new();
    ssh_session session = ssh_new();
    /* The bind takes its own copy of the key away with it. */
    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_IMPORT_KEY, key);
    const bool no = false;
    ssh_bind_options_set(bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no);
    if (ssh_bind_accept_fd(bind, session, fd) != SSH_OK ||
        ssh_handle_key_exchange(session) != SSH_OK || !authenticate(session, is_refused))
        _exit(1);
    ssh_channel channel = NULL;
    ssh_message m;
    while ((m = ssh_message_get(session))) {
        if (ssh_message_type(m) == SSH_REQUEST_CHANNEL_OPEN)
            channel = ssh_message_channel_request_open_reply_accept(m);
        else if (ssh_message_type(m) == SSH_REQUEST_CHANNEL && channel)
            serve_channel(session, channel, m, o);
        else
            ssh_message_reply_default(m);
        ssh_message_free(m);
    }
    _exit(0);
}

static void write_slowly(int fd, const char *p, size_t n, int pause_ms)
{
    for (size_t i = 0; i < n; i++) {
        if (send(fd, p + i, 1, MSG_NOSIGNAL) < 0)
            _exit(0);
        poll(NULL, 0, pause_ms);
    }
}

/* A connection behind a slow writer: what SERVER_DRIP puts between the server and the client. */
static int slow_down(int fd)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        abort();
    if (fork() > 0) {
        close(fd);
        close(ends[1]);
        return ends[0];
    }
    close(ends[0]);
    bool has_banner = false;
    for (;;) {
        struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = ends[1], .events = POLLIN}};
        char bytes[16384];
        poll(fds, 2, -1);
        for (int i = 0; i < 2; i++) {
            if (!fds[i].revents)
                continue;
            const ssize_t got = read(fds[i].fd, bytes, sizeof(bytes));
            if (got <= 0)
                _exit(0);
            if (i == 1 && !has_banner)
                write_slowly(fd, bytes, (size_t)got, 30);
            else if (send(fds[1 - i].fd, bytes, (size_t)got, MSG_NOSIGNAL) < 0)
                _exit(0);
            has_banner = has_banner || i == 1;
        }
    }
}

static void wait_for_end(int fd)
{
    char bytes[4096];
    while (read(fd, bytes, sizeof(bytes)) > 0)
        continue;
    _exit(0);
}

__attribute__((noreturn)) static void serve(
    int fd, const struct server_opts *o, unsigned nth, ssh_key key, ssh_key other)
{
    static const char garbage[] = "220 mail.\033[31mexample ESMTP\r\n";
    static const char banner[] = "SSH-2.0-test\r\n";
    char line[4096];
    memset(line, 'x', sizeof(line));
    memcpy(line, "SSH-2.0-", 8);
    if (nth < o->shy)
        wait_for_end(fd);
    switch (o->manner) {
    case SERVER_SILENT:
        wait_for_end(fd);
        break;
    case SERVER_GARBAGE:
        (void)!write(fd, garbage, sizeof(garbage) - 1);
        _exit(0);
    case SERVER_ENDLESS:
        while (send(fd, line, sizeof(line), MSG_NOSIGNAL) > 0)
            continue;
        _exit(0);
    case SERVER_DRIP_FOREVER:
        write_slowly(fd, line, 200, 200);
        _exit(0);
    case SERVER_NO_KEX:
        (void)!write(fd, banner, sizeof(banner) - 1);
        wait_for_end(fd);
        break;
    case SERVER_CLOSE_IN_KEX:
        (void)!write(fd, "SSH-2.0-test\r\n\0\0\1\0half", 22);
        shutdown(fd, SHUT_WR);
        wait_for_end(fd);
        break;
    case SERVER_DRIP:
        fd = slow_down(fd);
        break;
    case SERVER_FINE:
    case SERVER_REFUSE:
        break;
    }
    const unsigned answered = nth - o->shy;
    serve_ssh(fd, o, answered < o->early_key ? other : key,
        o->manner == SERVER_REFUSE || answered < o->refuse_first);
    _exit(0);
}

/* ---- The listener -------------------------------------------------------------------------- */

static ssh_key make_key(char line[512])
{
    ssh_key key = NULL;
    char *base64 = NULL;
    if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key) != SSH_OK ||
        ssh_pki_export_pubkey_base64(key, &base64) != SSH_OK)
        abort();
    snprintf(line, 512, "ssh-ed25519 %s", base64);
    ssh_string_free_char(base64);
    return key;
}

void server_start(struct server *s, const struct server_opts *o)
{
    ssh_key key = make_key(s->host_key);
    ssh_key other = make_key(s->other_key);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(address);
    if (bind(fd, (struct sockaddr *)&address, n) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &n) < 0)
        abort();
    if (!o->listen_after_ms && listen(fd, 50) < 0)
        abort();
    s->port = ntohs(address.sin_port);
    s->pid = fork();
    if (s->pid == 0) {
        setpgid(0, 0); /* so that all it forks can be ended together */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGCHLD, SIG_IGN);
        if (o->listen_after_ms) {
            poll(NULL, 0, (int)o->listen_after_ms);
            listen(fd, 50);
        }
        for (unsigned nth = 0;; nth++) {
            const int connection = accept(fd, NULL, NULL);
            if (connection < 0)
                _exit(1);
            if (fork() == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                close(fd);
                serve(connection, o, nth, key, other);
            }
            close(connection);
        }
    }
    setpgid(s->pid, s->pid);
    close(fd);
    ssh_key_free(key);
    ssh_key_free(other);
}

void server_stop(struct server *s)
{
    if (s->pid > 0) {
        kill(-s->pid, SIGKILL); /* our own unreaped child leads this group */
        waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
}
