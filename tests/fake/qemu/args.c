/* QEMU's command line, as far as it makes something that can be met from outside. */
#include "fake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { KEYS_MAX = 64 };

/* `first,key=value,flag,...`, with `,,` for a comma in a value. */
struct opts {
    char *text;
    size_t n;
    char *keys[KEYS_MAX]; /* "" for the first when it has none */
    char *values[KEYS_MAX];
};

/* Options that are opened only when all are known, as QEMU does: all of one kind before the next.
 */
struct arg {
    const char *option;
    const char *value;
};

static struct arg *args;
static size_t arg_count;

/* Everything else takes a value. */
static const char *const flags[] = {"S", "daemonize", "enable-kvm", "full-screen", "mem-prealloc",
    "no-acpi", "no-fd-bootchk", "no-hpet", "no-reboot", "no-shutdown", "no-user-config",
    "nodefaults", "nographic", "only-migratable", "portrait", "preconfig", "s", "singlestep",
    "snapshot", "usb", "win2k-hack"};

static void opts_add(struct opts *o, char *word)
{
    if (o->n == KEYS_MAX)
        die("fake: too many keys in one option");
    char *eq = strchr(word, '=');
    const bool is_first = o->n == 0;
    if (eq) {
        *eq = '\0';
        o->keys[o->n] = word;
        o->values[o->n] = eq + 1;
    } else {
        /* A later word alone is a switch: `server` is `server=on`. */
        static char first[] = "", on[] = "on";
        o->keys[o->n] = is_first ? first : word;
        o->values[o->n] = is_first ? word : on;
    }
    o->n++;
}

static struct opts opts_parse(const char *text)
{
    struct opts o = {.text = strdup(text)};
    char *to = o.text, *word = o.text;
    for (const char *from = text;; from++) {
        if (*from == ',' && from[1] == ',') {
            *to++ = *from++;
        } else if (*from == ',' || *from == '\0') {
            const bool is_last = *from == '\0';
            *to++ = '\0';
            opts_add(&o, word);
            word = to;
            if (is_last)
                return o;
        } else {
            *to++ = *from;
        }
    }
}

/* What was taken from it goes with it. */
static void opts_done(struct opts *o)
{
    free(o->text);
}
#define cleanup_opts __attribute__((cleanup(opts_done)))

static const char *opts_get(const struct opts *o, const char *key)
{
    for (size_t i = 0; i < o->n; i++) {
        if (strcmp(o->keys[i], key) == 0)
            return o->values[i];
    }
    return NULL;
}

static const char *opts_first(const struct opts *o)
{
    const char *first = opts_get(o, "");
    return first ? first : "";
}

static bool is_off(const char *value)
{
    return value && (strcmp(value, "off") == 0 || strcmp(value, "no") == 0);
}

static void need_server(const struct opts *o, const char *origin)
{
    const char *server = opts_get(o, "server");
    if (!server || is_off(server))
        die("%s: fake: only server=on is known", origin);
}

static void add_chardev(const char *value)
{
    cleanup_opts struct opts o = opts_parse(value);
    char *origin = format("-chardev %s", value);
    const char *id = opts_get(&o, "id");
    const char *path = opts_get(&o, "path");
    const char *fd = opts_get(&o, "fd");
    if (!id)
        die("%s: Parameter 'id' is missing", origin);
    if (strcmp(opts_first(&o), "socket") == 0) {
        need_server(&o, origin);
        if (!path && !fd)
            die("%s: fake: neither path nor fd", origin);
        chardev_new(id, path, fd ? atoi(fd) : -1, origin);
    } else {
        chardev_new(id, /* path */ NULL, /* fd */ -1, origin);
    }
    free(origin);
}

/* `missing` is how QEMU complains there when there is no such device. */
static void tie(const char *id, enum role role, const char *origin, const char *missing)
{
    struct chardev *c = chardev_find(id);
    if (!c)
        die("%s: %s", origin, missing);
    if (c->role != ROLE_IDLE)
        die("%s: Device '%s' is in use", origin, id);
    c->role = role;
}

static void add_monitor(const char *value)
{
    cleanup_opts struct opts o = opts_parse(value);
    const char *id = opts_get(&o, "chardev");
    if (!id)
        id = opts_first(&o);
    const char *mode = opts_get(&o, "mode");
    if (!mode || strcmp(mode, "control") != 0)
        return; /* a monitor for people: the fake has none */
    char *origin = format("-mon %s", value);
    char *missing = format("chardev \"%s\" not found", id);
    tie(id, ROLE_MONITOR, origin, missing);
    free(missing);
    free(origin);
}

static void add_qmp(const char *value)
{
    static const char prefix[] = "unix:";
    if (strcmp(value, "none") == 0)
        return;
    if (strncmp(value, prefix, sizeof(prefix) - 1) != 0)
        die("-qmp %s: fake: only unix: is known", value);
    cleanup_opts struct opts o = opts_parse(value + sizeof(prefix) - 1);
    char *origin = format("-qmp %s", value);
    need_server(&o, origin);
    struct chardev *c = chardev_new("compat_monitor", opts_first(&o), /* fd */ -1, origin);
    c->role = ROLE_MONITOR;
    free(origin);
}

static void add_serial(const char *value)
{
    static const char prefix[] = "chardev:";
    if (strncmp(value, prefix, sizeof(prefix) - 1) != 0)
        return; /* none, null, stdio ... */
    char *origin = format("-serial %s", value);
    char *missing = format("could not connect serial device to character backend '%s'", value);
    tie(value + sizeof(prefix) - 1, ROLE_SERIAL, origin, missing);
    free(missing);
    free(origin);
}

static void add_device(const char *value)
{
    cleanup_opts struct opts o = opts_parse(value);
    const char *id = opts_get(&o, "chardev");
    const char *driver = opts_first(&o);
    const bool is_firmware = strcmp(driver, "isa-debugcon") == 0;
    if ((!is_firmware && strcmp(driver, "isa-serial") != 0) || !id)
        return;
    char *origin = format("-device %s", value);
    char *missing = format("Property '%s.chardev' can't find value '%s'", driver, id);
    tie(id, is_firmware ? ROLE_FIRMWARE : ROLE_SERIAL, origin, missing);
    free(missing);
    free(origin);
}

/* tcp:[HOST]:PORT-[GUEST]:PORT. The port is held until the process ends; nobody answers there. */
static bool open_forward(const char *rule)
{
    if (strncmp(rule, "udp:", 4) == 0)
        return true;
    char host[64] = "", rest[64];
    int port = -1;
    if (sscanf(rule, "tcp:%63[^:]:%d-%63s", host, &port, rest) != 3 &&
        sscanf(rule, "tcp::%d-%63s", &port, rest) != 2)
        return false;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (port < 0 || port > 65535 ||
        inet_pton(AF_INET, host[0] ? host : "0.0.0.0", &address.sin_addr) != 1)
        return false;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 16) == 0;
}

static void open_netdev(const char *option, const char *value)
{
    cleanup_opts struct opts o = opts_parse(value);
    if (strcmp(opts_first(&o), "user") != 0)
        return;
    for (size_t i = 0; i < o.n; i++) {
        if (strcmp(o.keys[i], "hostfwd") == 0 && !open_forward(o.values[i]))
            die("%s %s: Could not set up host forwarding rule '%s'", option, value, o.values[i]);
    }
}

static bool open_vnc_port(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (inet_pton(AF_INET, fake.vnc_host, &address.sin_addr) == 1 &&
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0)
        return true;
    const int saved = errno;
    close(fd);
    errno = saved;
    return false;
}

static void open_vnc(const char *value)
{
    cleanup_opts struct opts o = opts_parse(value);
    char host[64] = "";
    int display = -1;
    if (sscanf(opts_first(&o), "%63[^:]:%d", host, &display) != 2 &&
        sscanf(opts_first(&o), ":%d", &display) != 1)
        return; /* none, or a Unix socket */
    fake.vnc_host = strdup(host[0] ? host : "0.0.0.0");
    /* `to=N`: the first free one of the displays from there to N. */
    const char *to = opts_get(&o, "to");
    const int last = to ? atoi(to) : display;
    for (; !open_vnc_port(5900 + display); display++) {
        if (display >= last)
            die("-vnc %s: Failed to find an available port: %s", value, strerror(errno));
    }
    fake.vnc_port = 5900 + display;
}

static void open_pidfile(void)
{
    const int fd = open(fake.pidfile, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        die("cannot create PID file: Could not create '%s': %s", fake.pidfile, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        die("cannot create PID file: Cannot lock pid file: %s", strerror(errno));
    fake.made_pidfile = true;
    if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
        die("cannot create PID file: %s", strerror(errno));
}

static void check_uuid(const char *uuid)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    for (size_t i = 0; i < sizeof(shape); i++) {
        const bool fits = shape[i] == 'x' ? uuid[i] && strchr("0123456789abcdefABCDEF", uuid[i])
                                          : uuid[i] == shape[i];
        if (!fits)
            die("-uuid %s: failed to parse UUID string: wrong format", uuid);
    }
}

/* Questions that are answered instead of running anything. */
static void answer_question(const char *option, const char *value)
{
    if (strcmp(option, "version") == 0) {
        printf("QEMU emulator version 7.2.22 (fake)\n");
    } else if (value && strcmp(value, "help") == 0) {
        if (strcmp(option, "accel") == 0)
            printf("Accelerators supported in QEMU binary:\ntcg\nkvm\n");
        else if (strcmp(option, "machine") == 0 || strcmp(option, "M") == 0)
            printf("Supported machines are:\npc\nq35\nmicrovm\nnone\n");
        else
            printf("fake: no help for -%s\n", option);
    } else {
        return;
    }
    exit(0);
}

static bool is_flag(const char *option)
{
    for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
        if (strcmp(flags[i], option) == 0)
            return true;
    }
    return strcmp(option, "version") == 0;
}

/* Runs `add` for each use of the option. */
static void each(const char *option, void (*add)(const char *value))
{
    for (size_t i = 0; i < arg_count; i++) {
        if (args[i].value && strcmp(args[i].option, option) == 0)
            add(args[i].value);
    }
}

void args_read(int argc, char **argv)
{
    args = calloc((size_t)argc + 1, sizeof(*args));
    if (!args)
        abort();
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        if (option[0] != '-')
            continue; /* a disk image */
        option += option[1] == '-' ? 2 : 1;
        const char *value = NULL;
        if (!is_flag(option)) {
            if (i + 1 == argc)
                die("%s: requires an argument", argv[i]);
            value = argv[++i];
        }
        answer_question(option, value);
        if (strcmp(option, "S") == 0)
            fake.wants_pause = true;
        else if (strcmp(option, "uuid") == 0)
            fake.uuid = value;
        else if (strcmp(option, "pidfile") == 0)
            fake.pidfile = value;
        args[arg_count++] = (struct arg){.option = option, .value = value};
    }
    if (fake.uuid)
        check_uuid(fake.uuid);
    /* Made, not opened: where the first monitor is says where the script is. */
    each("chardev", add_chardev);
    each("qmp", add_qmp);
    each("mon", add_monitor);
    each("serial", add_serial);
    each("device", add_device);
}

char *args_monitor_folder(void)
{
    for (size_t i = 0; i < fake.chardev_count; i++) {
        const struct chardev *c = &fake.chardevs[i];
        if (c->role != ROLE_MONITOR)
            continue;
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        socklen_t size = sizeof(address) - 1;
        if (!c->path && getsockname(c->listen_fd, (struct sockaddr *)&address, &size) < 0)
            continue;
        const char *path = c->path ? c->path : address.sun_path;
        const char *slash = strrchr(path, '/');
        return slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
    }
    return NULL;
}

void args_open(void)
{
    if (fake.pidfile)
        open_pidfile();
    for (size_t i = 0; i < fake.chardev_count; i++)
        chardev_listen(&fake.chardevs[i]);
    for (size_t i = 0; i < arg_count; i++) {
        if (strcmp(args[i].option, "netdev") == 0)
            open_netdev("-netdev", args[i].value);
        else if (strcmp(args[i].option, "nic") == 0)
            open_netdev("-nic", args[i].value);
    }
    each("vnc", open_vnc);
}
