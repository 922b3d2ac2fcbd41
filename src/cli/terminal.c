#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH_DEFAULT = 80, HEIGHT_DEFAULT = 24, SIDE_MAX = 10000 };

/* glibc's getenv carries attributes that make its type differ from ours. */
static const char *process_getenv(const char *name)
{
    return getenv(name);
}

static bool is_set(terminal_getenv *env, const char *name)
{
    const char *value = env(name);
    return value && value[0] != '\0';
}

static bool is_word(terminal_getenv *env, const char *name, const char *word)
{
    const char *value = env(name);
    return value && strcmp(value, word) == 0;
}

/* The first of the three that is set decides, as in locale(7). setlocale would read files. */
static bool locale_is_utf8(terminal_getenv *env)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (unsigned i = 0; i < 3; i++) {
        if (is_set(env, names[i])) {
            const char *value = env(names[i]);
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
        }
    }
    return false;
}

static bool wants_colour(const struct terminal *t, bool is_dumb, terminal_getenv *env)
{
    if (is_set(env, "NO_COLOR"))
        return false;
    if (is_set(env, "CLICOLOR_FORCE") && !is_word(env, "CLICOLOR_FORCE", "0"))
        return true;
    return t->is_terminal && !is_dumb;
}

void terminal_measure(int fd, struct terminal *t)
{
    struct winsize size = {0};
    if (ioctl(fd, TIOCGWINSZ, &size) < 0)
        size = (struct winsize){0};
    /* A pty that nobody sized says 0. */
    t->width = size.ws_col > 0 && size.ws_col <= SIDE_MAX ? size.ws_col : WIDTH_DEFAULT;
    t->height = size.ws_row > 0 && size.ws_row <= SIDE_MAX ? size.ws_row : HEIGHT_DEFAULT;
}

struct terminal terminal_inspect(int fd, terminal_getenv *env)
{
    if (!env)
        env = process_getenv;
    /* No TERM at all is what cron and service managers give. */
    const bool is_dumb = !is_set(env, "TERM") || is_word(env, "TERM", "dumb");
    struct terminal t = {.is_terminal = isatty(fd) == 1};
    t.has_colour = wants_colour(&t, is_dumb, env);
    const bool in_ci =
        is_set(env, "CI") && !is_word(env, "CI", "false") && !is_word(env, "CI", "0");
    t.is_live = t.is_terminal && !is_dumb && !in_ci;
    /* The Linux console has no glyphs for what we would draw. */
    t.has_utf8 = locale_is_utf8(env) && !is_word(env, "TERM", "linux");
    terminal_measure(fd, &t);
    return t;
}
