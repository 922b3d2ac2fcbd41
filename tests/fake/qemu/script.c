/* What to do wrong. Rules, one a line, `#` for comments; CMD is the name of a QMP command:
 *
 *   exit-before-socket[:STATUS[:WORDS]]   says WORDS on stderr and exits before any socket exists
 *   no-greeting                           takes QMP clients and never says a word
 *   hang:CMD                              never answers it; other commands are answered
 *   slow:CMD:MS                           answers after MS milliseconds, later ones after that
 *   stop-self:CMD                         stops itself (SIGSTOP) before it answers
 *   die-mid-reply:CMD                     kills itself (SIGKILL) after half of the answer
 *   crash:CMD[:WORDS]                     answers, says WORDS on stderr and exits with 1
 *   error:CMD:CLASS:WORDS                 refuses it
 *   wrong-id:CMD[:only]                   answers with a foreign id first, or only that way
 *   garbage:CMD                           answers with a line that is no JSON
 *   huge-line:CMD[:BYTES]                 answers with a line of 100 MB
 *   event-flood:CMD[:COUNT|:forever]      5000 events before the answer, or events instead of it
 *   panic[:CMD]                           the guest panics after CMD (cont)
 *   ignore-powerdown                      the guest does not mind the power button
 *   ignore-sigterm                        SIGTERM, SIGINT and SIGHUP have no effect
 *   powerdown-ms:MS                       how long the guest takes to shut down (10)
 *   console:FILE                          the guest writes FILE's bytes on the serial port
 *   firmware:FILE                         its firmware says FILE's bytes on the debug port
 *
 * They come from all of these, in this order: $FAKE_QEMU; `fake-qemu.script` in the folder of the
 * first monitor's socket; `$HOME/.fake-qemu`, which holds rules, or as its first line the path of a
 * file that does. */
#include "fake.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RULES_MAX = 64 };

static struct rule rules[RULES_MAX];
static size_t rule_count;

static void add_rule(const char *line, size_t n)
{
    while (n && (line[n - 1] == '\r' || line[n - 1] == ' '))
        n--;
    if (n == 0 || line[0] == '#')
        return;
    if (rule_count == RULES_MAX)
        die("fake: too many rules");
    struct rule *r = &rules[rule_count++];
    r->verb = strndup(line, n);
    char *colon = strchr(r->verb, ':');
    if (!colon)
        return;
    *colon = '\0';
    r->all = strdup(colon + 1);
    r->command = strdup(colon + 1);
    colon = strchr(r->command, ':');
    if (colon) {
        *colon = '\0';
        r->rest = colon + 1;
    }
}

static void add_rules(const char *text)
{
    while (*text) {
        const size_t n = strcspn(text, "\n");
        add_rule(text, n);
        text += n + (text[n] == '\n');
    }
}

/* NULL when it cannot be read. The caller owns it. */
static char *read_text(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct bytes text = {0};
    char chunk[4096];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof(chunk))) > 0)
        bytes_add(&text, chunk, (size_t)n);
    close(fd);
    bytes_add(&text, "", 1);
    return text.p;
}

static void add_file(const char *path)
{
    char *text = read_text(path);
    if (text)
        add_rules(text);
    free(text);
}

static void add_home(void)
{
    const char *home = getenv("HOME");
    if (!home)
        return;
    char *path = format("%s/.fake-qemu", home);
    char *text = read_text(path);
    if (text && text[0] == '/') {
        text[strcspn(text, "\n")] = '\0';
        add_file(text);
    } else if (text) {
        add_rules(text);
    }
    free(text);
    free(path);
}

void script_read(void)
{
    const char *env = getenv("FAKE_QEMU");
    if (env)
        add_rules(env);
    char *folder = args_monitor_folder();
    if (folder) {
        char *path = format("%s/fake-qemu.script", folder);
        add_file(path);
        free(path);
        free(folder);
    }
    add_home();
}

const struct rule *script_rule(const char *verb, const char *command)
{
    for (size_t i = 0; i < rule_count; i++) {
        const struct rule *r = &rules[i];
        if (strcmp(r->verb, verb) != 0)
            continue;
        if (!command || (r->command && strcmp(r->command, command) == 0))
            return r;
    }
    return NULL;
}
