/* QMP. Commands are taken one after another; what a rule of the script says about a command comes
 * before what QEMU would do. */
#include "fake.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { HUGE_BYTES = 100 * 1000 * 1000, FLOOD_COUNT = 5000, POWERDOWN_MS = 10 };

struct command {
    const char *name;
    /* The answer, or NULL when there will be none from here. */
    json_t *(*run)(struct chardev *c);
};

static void say_json(struct chardev *c, json_t *message)
{
    char *text = json_dumps(message, JSON_PRESERVE_ORDER);
    chardev_say(c, text, strlen(text));
    chardev_say(c, "\r\n", 2);
    free(text);
    json_decref(message);
}

static json_t *version(void)
{
    return json_pack(
        "{s:{s:i,s:i,s:i},s:s}", "qemu", "micro", 22, "minor", 2, "major", 7, "package", "fake");
}

void monitor_greet(struct chardev *c)
{
    if (!script_rule("no-greeting", NULL))
        say_json(
            c, json_pack("{s:{s:o,s:[s]}}", "QMP", "version", version(), "capabilities", "oob"));
}

void say_event(struct chardev *c, const char *name, json_t *data)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    json_t *event = json_pack("{s:{s:I,s:I},s:s}", "timestamp", "seconds", (json_int_t)now.tv_sec,
        "microseconds", (json_int_t)(now.tv_nsec / 1000), "event", name);
    if (data)
        json_object_set_new(event, "data", data);
    say_json(c, event);
}

void emit_event(const char *name, json_t *data)
{
    for (size_t i = 0; i < fake.chardev_count; i++) {
        struct chardev *c = &fake.chardevs[i];
        if (c->role == ROLE_MONITOR && c->is_negotiated)
            say_event(c, name, json_deep_copy(data));
    }
    json_decref(data);
}

static void say_error(struct chardev *c, const char *class, const char *desc, const json_t *id)
{
    json_t *message = json_object();
    if (id)
        json_object_set_new(message, "id", json_deep_copy(id));
    json_object_set_new(message, "error", json_pack("{s:s,s:s}", "class", class, "desc", desc));
    say_json(c, message);
}

static json_t *run_query_status(struct chardev *c)
{
    (void)c;
    const bool is_running = strcmp(fake.status, "running") == 0;
    return json_pack(
        "{s:s,s:b,s:b}", "status", fake.status, "singlestep", 0, "running", is_running);
}

static json_t *run_cont(struct chardev *c)
{
    (void)c;
    if (strcmp(fake.status, "running") == 0)
        return json_object();
    emit_event("RESUME", NULL);
    guest_start();
    return json_object();
}

static json_t *run_stop(struct chardev *c)
{
    (void)c;
    if (strcmp(fake.status, "running") == 0) {
        fake.status = "paused";
        emit_event("STOP", NULL);
    }
    return json_object();
}

static json_t *run_powerdown(struct chardev *c)
{
    (void)c;
    emit_event("POWERDOWN", NULL);
    /* A stopped guest does not see the button. */
    if (strcmp(fake.status, "running") == 0 && !script_rule("ignore-powerdown", NULL)) {
        const struct rule *ms = script_rule("powerdown-ms", NULL);
        timer_add(
            ms && ms->command ? atoi(ms->command) : POWERDOWN_MS, TIMER_GUEST_OFF, NULL, NULL);
    }
    return json_object();
}

static json_t *run_reset(struct chardev *c)
{
    (void)c;
    emit_event("RESET", json_pack("{s:b,s:s}", "guest", 0, "reason", "host-qmp-system-reset"));
    if (strcmp(fake.status, "running") == 0)
        guest_console();
    return json_object();
}

static json_t *run_query_vnc(struct chardev *c)
{
    (void)c;
    if (!fake.vnc_host)
        return json_pack("{s:b}", "enabled", 0);
    char port[16];
    snprintf(port, sizeof(port), "%d", fake.vnc_port);
    return json_pack("{s:b,s:s,s:s,s:[],s:s,s:s}", "enabled", 1, "auth", "none", "family", "ipv4",
        "clients", "service", port, "host", fake.vnc_host);
}

static json_t *run_query_uuid(struct chardev *c)
{
    (void)c;
    char uuid[] = "00000000-0000-0000-0000-000000000000";
    for (size_t i = 0; fake.uuid && fake.uuid[i]; i++)
        uuid[i] = (char)tolower((unsigned char)fake.uuid[i]);
    return json_pack("{s:s}", "UUID", uuid);
}

static json_t *run_query_version(struct chardev *c)
{
    (void)c;
    return version();
}

static json_t *run_query_commands(struct chardev *c);
static json_t *run_quit(struct chardev *c);

static const struct command commands[] = {
    {"cont", run_cont},
    {"query-commands", run_query_commands},
    {"query-status", run_query_status},
    {"query-uuid", run_query_uuid},
    {"query-version", run_query_version},
    {"query-vnc", run_query_vnc},
    {"quit", run_quit},
    {"stop", run_stop},
    {"system_powerdown", run_powerdown},
    {"system_reset", run_reset},
};

static json_t *run_query_commands(struct chardev *c)
{
    (void)c;
    json_t *names = json_pack("[{s:s}]", "name", "qmp_capabilities");
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        json_array_append_new(names, json_pack("{s:s}", "name", commands[i].name));
    return names;
}

/* QEMU says the event first; run() says the answer and ends the process. */
static json_t *run_quit(struct chardev *c)
{
    (void)c;
    emit_event("SHUTDOWN", json_pack("{s:b,s:s}", "guest", 0, "reason", "host-qmp-quit"));
    return json_object();
}

static void say_return(struct chardev *c, json_t *result, const json_t *id)
{
    json_t *message = json_pack("{s:o}", "return", result);
    if (id)
        json_object_set_new(message, "id", json_deep_copy(id));
    say_json(c, message);
}

static void die_mid_reply(struct chardev *c)
{
    chardev_say(c, "{\"return\": {\"sta", 16);
    while (c->client_fd >= 0 && c->out.n)
        chardev_flush(c);
    raise(SIGKILL);
}

/* True: the rules leave no answer of the usual kind to give. */
static bool misbehave_instead(struct chardev *c, const char *name, const json_t *id)
{
    const struct rule *rule;
    if (script_rule("stop-self", name))
        raise(SIGSTOP); /* and on, should somebody continue us */
    if (script_rule("hang", name))
        return true;
    if (script_rule("die-mid-reply", name))
        die_mid_reply(c);
    if ((rule = script_rule("error", name))) {
        char *class = strdup(rule->rest ? rule->rest : "GenericError");
        char *desc = strchr(class, ':');
        if (desc)
            *desc++ = '\0';
        say_error(c, class, desc ? desc : "told to", id);
        free(class);
        return true;
    }
    if (script_rule("garbage", name)) {
        chardev_say(c, "this is no JSON \x1b[31m\r\n", 23);
        return true;
    }
    if ((rule = script_rule("huge-line", name))) {
        char *id_text = id ? json_dumps(id, JSON_ENCODE_ANY) : strdup("null");
        chardev_say(c, "{\"return\": \"", 12);
        snprintf(c->huge_tail, sizeof(c->huge_tail), "\", \"id\": %.40s}\r\n", id_text);
        free(id_text);
        c->huge_left = rule->rest ? strtoul(rule->rest, NULL, 10) : HUGE_BYTES;
        return true;
    }
    if ((rule = script_rule("event-flood", name))) {
        if (rule->rest && strcmp(rule->rest, "forever") == 0) {
            c->is_flooding = true;
            return true;
        }
        const int count = rule->rest ? atoi(rule->rest) : FLOOD_COUNT;
        for (int i = 0; i < count; i++)
            say_event(c, "RTC_CHANGE", json_pack("{s:i}", "offset", i));
    }
    if ((rule = script_rule("wrong-id", name))) {
        say_return(c, json_pack("{s:s}", "status", "foreign"), json_integer(424242));
        return rule->rest && strcmp(rule->rest, "only") == 0;
    }
    return false;
}

static void panic_after(const char *name)
{
    const struct rule *rule = script_rule("panic", NULL);
    if (!rule || strcmp(name, rule->command ? rule->command : "cont") != 0)
        return;
    fake.status = "guest-panicked";
    emit_event("GUEST_PANICKED", json_pack("{s:s}", "action", "pause"));
}

static void crash_after(struct chardev *c, const char *name)
{
    const struct rule *rule = script_rule("crash", name);
    if (!rule)
        return;
    while (c->client_fd >= 0 && c->out.n)
        chardev_flush(c);
    die("%s", rule->rest ? rule->rest : "fake: told to crash");
}

static void run(struct chardev *c, const char *name, const json_t *id)
{
    if (strcmp(name, "qmp_capabilities") == 0 && !c->is_negotiated) {
        c->is_negotiated = true;
        say_return(c, json_object(), id);
        return;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        say_return(c, commands[i].run(c), id);
        panic_after(name);
        crash_after(c, name);
        if (commands[i].run == run_quit)
            shut_down(false, NULL);
        return;
    }
    char *desc = format("The command %s has not been found", name);
    say_error(c, "CommandNotFound", desc, id);
    free(desc);
}

static void answer(struct chardev *c, const json_t *request)
{
    const json_t *id = json_object_get(request, "id");
    const char *name = json_string_value(json_object_get(request, "execute"));
    if (!name) {
        say_error(c, "GenericError", "QMP input lacks member 'execute'", id);
        return;
    }
    if (!c->is_negotiated && strcmp(name, "qmp_capabilities") != 0) {
        say_error(
            c, "CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'", id);
        return;
    }
    if (!misbehave_instead(c, name, id))
        run(c, name, id);
}

/* Takes the request. */
static void begin(struct chardev *c, json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "execute"));
    const struct rule *slow = name ? script_rule("slow", name) : NULL;
    if (slow) {
        c->is_busy = true;
        timer_add(slow->rest ? atoi(slow->rest) : 0, TIMER_COMMAND, c, request);
        return;
    }
    answer(c, request);
    json_decref(request);
}

void monitor_unhurry(struct chardev *c, json_t *request)
{
    c->is_busy = false;
    answer(c, request);
    json_decref(request);
    monitor_hear(c);
}

void monitor_hear(struct chardev *c)
{
    while (!c->is_busy) {
        size_t blank = 0;
        while (blank < c->in.n && strchr(" \t\r\n", c->in.p[blank]) && c->in.p[blank])
            blank++;
        bytes_drop(&c->in, blank);
        if (!c->in.n || script_rule("no-greeting", NULL))
            return;
        json_error_t error;
        json_t *request = json_loadb(c->in.p, c->in.n, JSON_DISABLE_EOF_CHECK, &error);
        if (!request && json_error_code(&error) == json_error_premature_end_of_input)
            return;
        if (!request) {
            const char *newline = memchr(c->in.p, '\n', c->in.n);
            bytes_drop(&c->in, newline ? (size_t)(newline + 1 - c->in.p) : c->in.n);
            say_error(c, "GenericError", "JSON parse error", NULL);
            continue;
        }
        bytes_drop(&c->in, (size_t)error.position);
        begin(c, request);
    }
}
