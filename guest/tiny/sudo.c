// A sudo for a guest that has one kind of rule: members of the group sudo may do anything, nobody
// is asked for a password. It takes the options scripts use and refuses the rest.
//
//   sudo [-nEHSkA] [-u USER] [-i | -s] [--] [NAME=VALUE...] [COMMAND [ARGUMENT...]]
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define SUDO_GID 27
#define SAFE_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

extern char **environ;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
    va_list ap;

    fputs("sudo: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

static bool may(void)
{
    gid_t groups[256];
    int n = getgroups(256, groups);

    for (int i = 0; i < n; i++)
        if (groups[i] == SUDO_GID)
            return true;
    return getuid() == 0 || getgid() == SUDO_GID;
}

// By hand and not by getpwnam: the C library cannot load its name services into a static program.
static struct passwd *find_user(const char *name, uid_t uid)
{
    FILE *f = fopen("/etc/passwd", "re");
    struct passwd *pw = NULL;

    while (f && (pw = fgetpwent(f)))
        if (name ? strcmp(pw->pw_name, name) == 0 : pw->pw_uid == uid)
            break;
    if (f)
        fclose(f);
    if (pw) {
        struct passwd *copy = malloc(sizeof *copy);
        if (!copy)
            die("out of memory");
        *copy = *pw;
        copy->pw_name = strdup(pw->pw_name);
        copy->pw_dir = strdup(pw->pw_dir);
        copy->pw_shell = strdup(pw->pw_shell);
        return copy;
    }
    return NULL;
}

static void become(const struct passwd *pw)
{
    FILE *f = fopen("/etc/group", "re");
    gid_t groups[64] = {pw->pw_gid};
    size_t n = 1;
    struct group *gr;

    while (f && n < 64 && (gr = fgetgrent(f)))
        for (char **m = gr->gr_mem; *m && n < 64; m++)
            if (strcmp(*m, pw->pw_name) == 0)
                groups[n++] = gr->gr_gid;
    if (f)
        fclose(f);
    if (setgroups(n, groups) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
        die("could not become \"%s\": %s", pw->pw_name, strerror(errno));
}

// Nothing of the caller's environment passes but what makes a terminal work; -E asks for the rest.
static void clean_environment(bool want_all)
{
    static const char *const kept[] = {"TERM", "LANG", "LC_ALL", "DISPLAY", "COLORTERM"};
    char *values[5];

    if (want_all)
        return;
    for (size_t i = 0; i < 5; i++) {
        char *v = getenv(kept[i]);
        values[i] = v ? strdup(v) : NULL;
    }
    clearenv();
    for (size_t i = 0; i < 5; i++)
        if (values[i])
            setenv(kept[i], values[i], 1);
}

static void set_environment(const struct passwd *pw, const struct passwd *caller)
{
    char number[32];

    setenv("PATH", SAFE_PATH, 1);
    setenv("HOME", pw->pw_dir, 1);
    setenv("SHELL", pw->pw_shell, 1);
    setenv("USER", pw->pw_name, 1);
    setenv("LOGNAME", pw->pw_name, 1);
    setenv("SUDO_USER", caller ? caller->pw_name : "root", 1);
    snprintf(number, sizeof number, "%u", getuid());
    setenv("SUDO_UID", number, 1);
    snprintf(number, sizeof number, "%u", getgid());
    setenv("SUDO_GID", number, 1);
}

// The words of a command as one line for "sh -c", every doubtful character escaped, as sudo -i does
// it.
static char *quoted(char *const *argv)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    for (; *argv; argv++) {
        for (const char *p = *argv; *p; p++) {
            bool is_plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                            (*p >= '0' && *p <= '9') || strchr("_-$", *p);
            fprintf(out, is_plain ? "%c" : "\\%c", *p);
        }
        if (argv[1])
            fputc(' ', out);
    }
    fclose(out);
    return text;
}

int main(int argc, char **argv)
{
    const char *user = "root";
    bool is_login = false, is_shell = false, want_env = false, is_query = false;
    struct passwd *pw, *caller;
    int c;

    while ((c = getopt(argc, argv, "+nEHSkKAvlisu:")) != -1) {
        switch (c) {
        case 'u':
            user = optarg;
            break;
        case 'i':
            is_login = true;
            break;
        case 's':
            is_shell = true;
            break;
        case 'E':
            want_env = true;
            break;
        case 'v':
        case 'l':
        case 'k':
        case 'K':
            is_query = true;
            break;
        case 'n':
        case 'H':
        case 'S':
        case 'A':
            break;
        default:
            return 1;
        }
    }
    if (!may())
        die("a password is required");
    pw = user[0] == '#' ? find_user(NULL, (uid_t)strtoul(user + 1, NULL, 10)) : find_user(user, 0);
    if (!pw)
        die("unknown user %s", user);
    caller = find_user(NULL, getuid());

    clean_environment(want_env);
    set_environment(pw, caller);
    for (; argv[optind] && strchr(argv[optind], '=') && argv[optind][0] != '/'; optind++)
        putenv(argv[optind]);

    if (!argv[optind] && !is_login && !is_shell) {
        if (is_query)
            return 0;
        fprintf(stderr, "usage: sudo [-nEH] [-u user] [-i | -s] [command [argument ...]]\n");
        return 1;
    }
    become(pw);

    if (is_login || is_shell) {
        const char *base = strrchr(pw->pw_shell, '/');
        char name[256];

        base = base ? base + 1 : pw->pw_shell;
        if (is_login && chdir(pw->pw_dir) < 0)
            fprintf(stderr, "sudo: could not enter %s: %s\n", pw->pw_dir, strerror(errno));
        snprintf(name, sizeof name, "%s%s", is_login ? "-" : "", base);
        if (argv[optind])
            execl(pw->pw_shell, name, "-c", quoted(argv + optind), (char *)NULL);
        else
            execl(pw->pw_shell, name, (char *)NULL);
        die("%s: %s", pw->pw_shell, strerror(errno));
    }
    execvp(argv[optind], argv + optind);
    if (errno == ENOENT)
        die("%s: command not found", argv[optind]);
    die("%s: %s", argv[optind], strerror(errno));
}
