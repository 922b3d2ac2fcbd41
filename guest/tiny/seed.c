// Applies the NoCloud seed to the tiny guest, as cloud-init would: once per instance.
//
// The seed is an ISO 9660 volume labelled "cidata" on any disk, with the files meta-data, user-data
// and perhaps vendor-data. All three are YAML by their definition and JSON by what our tools write;
// this reads JSON only. user-data that is not JSON (a user's own YAML) is reported and left alone;
// what vendor-data says then still counts, so that the host key is the one the tool announced.
// Where both speak, user-data wins.
//
// What is understood, of vendor-data and user-data:
//   users[]: name, shell, sudo, lock_passwd, passwd | hashed_passwd | plain_text_passwd,
//   ssh_authorized_keys hostname; ssh_keys: {ed25519,ecdsa,rsa}_private
//
// The instance-id is remembered last: power lost half-way means that the seed is applied again.
#include <crypt.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <jansson.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOUNT_POINT "/run/cidata"
#define STATE_DIR "/var/lib/seed"
#define STATE_FILE STATE_DIR "/instance-id"
#define FILE_MAX_BYTES (1024 * 1024)

static bool is_failed;

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
    va_list ap;

    fputs("tiny: seed: ", stdout);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
}

// Something was not done. The rest is still tried: half a guest can be looked into, none cannot.
__attribute__((format(printf, 1, 2))) static void fail(const char *fmt, ...)
{
    va_list ap;

    fputs("tiny: seed: error: ", stdout);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
    is_failed = true;
}

// The whole file as a string, or NULL with errno set.
static char *read_file(const char *path)
{
    char *buf = malloc(FILE_MAX_BYTES + 1);
    FILE *f = fopen(path, "re");
    size_t n;

    if (!buf || !f) {
        if (f)
            fclose(f);
        free(buf);
        return NULL;
    }
    n = fread(buf, 1, FILE_MAX_BYTES + 1, f);
    fclose(f);
    if (n > FILE_MAX_BYTES) {
        free(buf);
        errno = EFBIG;
        return NULL;
    }
    buf[n] = '\0';
    return buf;
}

// Replaces PATH as a whole: the new content is on the disk before the name points to it.
static bool write_file(const char *path, const char *text, mode_t mode, uid_t uid, gid_t gid)
{
    char tmp[4096];
    size_t len = strlen(text);
    int fd;

    if ((size_t)snprintf(tmp, sizeof tmp, "%s.new", path) >= sizeof tmp) {
        fail("the name %s is too long", path);
        return false;
    }
    unlink(tmp);
    fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        fail("could not write %s: %s", tmp, strerror(errno));
        return false;
    }
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, text + done, len - done);
        if (n < 0) {
            fail("could not write %s: %s", tmp, strerror(errno));
            close(fd);
            unlink(tmp);
            return false;
        }
        done += (size_t)n;
    }
    if (fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0 || fsync(fd) < 0 ||
        rename(tmp, path) < 0) {
        fail("could not write %s: %s", path, strerror(errno));
        close(fd);
        unlink(tmp);
        return false;
    }
    close(fd);
    return true;
}

static bool is_cidata(const char *dev)
{
    // The primary volume descriptor is sector 16; the label is 32 bytes at offset 40, padded with
    // spaces.
    unsigned char pvd[2048];
    int fd = open(dev, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return false;
    n = pread(fd, pvd, sizeof pvd, 16 * 2048);
    close(fd);
    return n == (ssize_t)sizeof pvd && memcmp(pvd, "\001CD001", 6) == 0 &&
           strncasecmp((const char *)pvd + 40, "cidata ", 7) == 0;
}

// Mounts the seed on MOUNT_POINT. Whole disks only, in the order of their names.
static bool mount_seed(void)
{
    static const char *const kinds[] = {"vd", "sr", "sd"};
    char dev[64];

    mkdir(MOUNT_POINT, 0700);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (int i = 0; i < 26; i++) {
            if (k == 1)
                snprintf(dev, sizeof dev, "/dev/%s%d", kinds[k], i);
            else
                snprintf(dev, sizeof dev, "/dev/%s%c", kinds[k], 'a' + i);
            if (!is_cidata(dev))
                continue;
            if (mount(dev, MOUNT_POINT, "iso9660", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                    NULL) == 0) {
                say("found on %s", dev);
                return true;
            }
            fail("could not mount %s: %s", dev, strerror(errno));
        }
    }
    return false;
}

// Value of "KEY: VALUE" in simple YAML, for a meta-data file somebody wrote by hand. The caller
// frees.
static char *yaml_line(const char *text, const char *key)
{
    size_t len = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) != 0 || line[len] != ':')
            continue;
        const char *v = line + len + 1;
        v += strspn(v, " \t\"'");
        return strndup(v, strcspn(v, " \t\"'\r\n"));
    }
    return NULL;
}

static char *meta_value(const char *text, const json_t *meta, const char *key)
{
    const char *s = json_string_value(json_object_get(meta, key));

    if (s)
        return strdup(s);
    return meta ? NULL : yaml_line(text, key);
}

// One cloud-config file as a JSON object; NULL if there is none or it is another format.
static json_t *read_config(const char *name)
{
    char path[128];
    json_error_t err;
    json_t *doc;
    char *text;
    const char *body;

    snprintf(path, sizeof path, MOUNT_POINT "/%s", name);
    text = read_file(path);
    if (!text) {
        if (errno != ENOENT)
            fail("could not read %s: %s", name, strerror(errno));
        return NULL;
    }
    body = text;
    if (strncmp(body, "#cloud-config", 13) == 0)
        body += strcspn(body, "\n");
    doc = json_loads(body, JSON_REJECT_DUPLICATES, &err);
    if (doc && !json_is_object(doc)) {
        json_decref(doc);
        doc = NULL;
    }
    if (!doc && body[strspn(body, " \t\r\n")] != '\0')
        say("%s is not a JSON object and is left alone: line %d: %s", name, err.line, err.text);
    free(text);
    return doc;
}

// User names and host names end up in files where ':' and newlines mean something.
static bool is_word(const char *s, const char *extra, size_t max)
{
    size_t n = strlen(s);

    if (n == 0 || n > max || !(isalnum((unsigned char)s[0]) || s[0] == '_'))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr(extra, s[i]))
            return false;
    return true;
}

static bool is_field(const char *s)
{
    return !strpbrk(s, ":\r\n");
}

static bool is_true(const json_t *v, bool otherwise)
{
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

// The password field of shadow: "*" matches nothing, and dropbear lets a key in all the same.
static char *password_field(const json_t *user)
{
    const char *plain = json_string_value(json_object_get(user, "plain_text_passwd"));
    const char *hash = json_string_value(json_object_get(user, "passwd"));
    unsigned char seed[16];
    char salt[CRYPT_GENSALT_OUTPUT_SIZE];

    if (!hash)
        hash = json_string_value(json_object_get(user, "hashed_passwd"));
    if (is_true(json_object_get(user, "lock_passwd"), true))
        return strdup("*");
    if (hash && is_field(hash))
        return strdup(hash);
    if (plain && getrandom(seed, sizeof seed, 0) == (ssize_t)sizeof seed &&
        crypt_gensalt_rn("$6$", 5000, (const char *)seed, sizeof seed, salt, sizeof salt)) {
        const char *c = crypt(plain, salt);
        return strdup(c && c[0] != '*' ? c : "*");
    }
    return strdup("*");
}

struct account {
    uid_t uid;
    gid_t gid;
    char home[256];
};

static bool find_account(const char *name, struct account *ret)
{
    FILE *f = fopen("/etc/passwd", "re");
    struct passwd *pw;
    bool is_found = false;

    while (f && !is_found && (pw = fgetpwent(f))) {
        if (strcmp(pw->pw_name, name) != 0)
            continue;
        ret->uid = pw->pw_uid;
        ret->gid = pw->pw_gid;
        snprintf(ret->home, sizeof ret->home, "%s", pw->pw_dir);
        is_found = true;
    }
    if (f)
        fclose(f);
    return is_found;
}

static uid_t free_uid(void)
{
    FILE *f = fopen("/etc/passwd", "re");
    struct passwd *pw;
    uid_t uid = 1000;

    while (f && (pw = fgetpwent(f)))
        if (pw->pw_uid >= uid && pw->pw_uid < 60000)
            uid = pw->pw_uid + 1;
    if (f)
        fclose(f);
    return uid;
}

// Rewrites a colon-separated file: the line of NAME becomes LINE, or LINE is added.
static bool set_line(const char *path, const char *name, const char *line, mode_t mode)
{
    char *old = read_file(path);
    size_t len = strlen(name);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    bool is_ok;

    for (char *p = old; p && *p;) {
        size_t n = strcspn(p, "\n");
        if (n > 0 && !(strncmp(p, name, len) == 0 && p[len] == ':'))
            fprintf(out, "%.*s\n", (int)n, p);
        p += n + (p[n] == '\n');
    }
    fprintf(out, "%s\n", line);
    fclose(out);
    is_ok = write_file(path, text, mode, 0, 0);
    free(text);
    free(old);
    return is_ok;
}

static void join_sudo(const char *name)
{
    FILE *f = fopen("/etc/group", "re");
    char line[4096] = "sudo:x:27:";
    struct group *gr;

    while (f && (gr = fgetgrent(f))) {
        if (strcmp(gr->gr_name, "sudo") != 0)
            continue;
        for (char **m = gr->gr_mem; *m; m++) {
            if (strcmp(*m, name) == 0 || strlen(line) + strlen(*m) + 64 > sizeof line)
                continue;
            strcat(line, *m);
            strcat(line, ",");
        }
    }
    if (f)
        fclose(f);
    strcat(line, name);
    set_line("/etc/group", "sudo", line, 0644);
}

static void set_authorized_keys(const char *name, const struct account *a, const json_t *keys)
{
    char dir[300], path[340];
    char *text = NULL;
    size_t size = 0, i;
    FILE *out = open_memstream(&text, &size);
    json_t *key;

    json_array_foreach(keys, i, key)
    {
        const char *s = json_string_value(key);
        if (s)
            fprintf(out, "%.*s\n", (int)strcspn(s, "\r\n"), s);
    }
    fclose(out);
    snprintf(dir, sizeof dir, "%s/.ssh", a->home);
    snprintf(path, sizeof path, "%s/authorized_keys", dir);
    if ((mkdir(dir, 0700) < 0 && errno != EEXIST) || lchown(dir, a->uid, a->gid) < 0)
        fail("could not make %s for \"%s\": %s", dir, name, strerror(errno));
    else
        write_file(path, text, 0600, a->uid, a->gid);
    free(text);
}

static void apply_user(const json_t *user)
{
    const char *name = json_string_value(json_object_get(user, "name"));
    const char *shell = json_string_value(json_object_get(user, "shell"));
    const char *gecos = json_string_value(json_object_get(user, "gecos"));
    const json_t *sudo = json_object_get(user, "sudo");
    struct account a;
    char line[1024];
    char *password;

    // The word "default" means the distribution's own user, which this guest does not have.
    if (json_is_string(user))
        return;
    if (!name || !is_word(name, "_-.", 32) || strcmp(name, "root") == 0) {
        fail("a user has no name, or one this guest does not take");
        return;
    }
    if (!shell || shell[0] != '/' || !is_field(shell) || strlen(shell) > 200 ||
        access(shell, X_OK) < 0) {
        if (shell)
            say("user \"%s\" gets /bin/bash for the shell \"%s\"", name, shell);
        shell = "/bin/bash";
    }
    if (!gecos || !is_field(gecos) || strlen(gecos) > 200)
        gecos = "";

    if (!find_account(name, &a)) {
        a.uid = free_uid();
        a.gid = a.uid;
        snprintf(a.home, sizeof a.home, "/home/%s", name);
        snprintf(line, sizeof line, "%s:x:%u:", name, a.gid);
        set_line("/etc/group", name, line, 0644);
    } else if (a.uid < 1000) {
        fail("the user \"%s\" belongs to the system", name);
        return;
    }
    snprintf(line, sizeof line, "%s:x:%u:%u:%s:%s:%s", name, a.uid, a.gid, gecos, a.home, shell);
    set_line("/etc/passwd", name, line, 0644);

    password = password_field(user);
    if (strlen(password) < 512) {
        snprintf(line, sizeof line, "%s:%s:19000:0:99999:7:::", name, password);
        set_line("/etc/shadow", name, line, 0600);
    }
    free(password);

    if ((mkdir(a.home, 0755) < 0 && errno != EEXIST) || lchown(a.home, a.uid, a.gid) < 0)
        fail("could not make the home of \"%s\": %s", name, strerror(errno));
    if (json_is_array(sudo) || (json_is_string(sudo) && json_string_value(sudo)[0]))
        join_sudo(name);
    set_authorized_keys(name, &a, json_object_get(user, "ssh_authorized_keys"));
    say("user \"%s\" is there", name);
}

static bool run(char *const argv[])
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        int fd = open("/dev/null", O_RDWR);
        dup2(fd, 0);
        dup2(fd, 1);
        dup2(fd, 2);
        execv(argv[0], argv);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static void apply_host_keys(const json_t *keys)
{
    static const char *const kinds[] = {"ed25519", "ecdsa", "rsa"};
    static const char in[] = "/run/host_key";

    // A new instance never keeps the keys of the one before.
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char field[32], out[96], fresh[100];
        const char *pem;

        snprintf(field, sizeof field, "%s_private", kinds[i]);
        snprintf(out, sizeof out, "/etc/dropbear/dropbear_%s_host_key", kinds[i]);
        snprintf(fresh, sizeof fresh, "%s.new", out);
        unlink(out);
        pem = json_string_value(json_object_get(keys, field));
        if (!pem || !write_file(in, pem, 0600, 0, 0))
            continue;
        unlink(fresh);
        if (run((char *[]){
                "/usr/bin/dropbearconvert", "openssh", "dropbear", (char *)in, fresh, NULL}) &&
            chmod(fresh, 0600) == 0 && rename(fresh, out) == 0)
            say("host key %s is the given one", kinds[i]);
        else
            fail("the given host key %s cannot be used", kinds[i]);
        unlink(in);
    }
}

static void apply_hostname(const char *name)
{
    char text[512];

    if (!is_word(name, "-.", 63)) {
        fail("the given host name cannot be used");
        return;
    }
    if (sethostname(name, strlen(name)) < 0)
        fail("could not set the host name: %s", strerror(errno));
    snprintf(text, sizeof text, "%s\n", name);
    write_file("/etc/hostname", text, 0644, 0, 0);
    snprintf(text, sizeof text, "127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost\n", name);
    write_file("/etc/hosts", text, 0644, 0, 0);
}

static void apply_config(const json_t *config, const char *local_hostname)
{
    const char *hostname = json_string_value(json_object_get(config, "hostname"));
    size_t i;
    json_t *user;

    json_array_foreach(json_object_get(config, "users"), i, user) apply_user(user);
    apply_host_keys(json_object_get(config, "ssh_keys"));
    if (!hostname)
        hostname = local_hostname;
    if (hostname)
        apply_hostname(hostname);
}

static bool is_applied(const char *id)
{
    char *last = read_file(STATE_FILE);
    bool is_same =
        last && strncmp(last, id, strlen(id)) == 0 && strcmp(last + strlen(id), "\n") == 0;

    free(last);
    return is_same;
}

static void apply(const char *id, const char *local_hostname)
{
    json_t *config = read_config("vendor-data");
    json_t *user_data = read_config("user-data");
    char text[300];

    if (!config)
        config = json_object();
    if (user_data)
        json_object_update(config, user_data);
    apply_config(config, local_hostname);
    json_decref(user_data);
    json_decref(config);

    mkdir(STATE_DIR, 0755);
    snprintf(text, sizeof text, "%s\n", id);
    write_file(STATE_FILE, text, 0644, 0, 0);
    sync();
    say("instance \"%s\" is set up", id);
}

int main(void)
{
    char *text, *id, *local_hostname;
    json_t *meta;

    umask(022);
    if (!mount_seed()) {
        say("there is no disk labelled cidata");
        return is_failed;
    }
    text = read_file(MOUNT_POINT "/meta-data");
    meta = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    id = text ? meta_value(text, meta, "instance-id") : NULL;
    local_hostname = text ? meta_value(text, meta, "local-hostname") : NULL;

    if (!id || !id[0] || strlen(id) > 255)
        fail("meta-data has no instance-id that can be used");
    else if (is_applied(id))
        say("instance \"%s\" was set up before", id);
    else
        apply(id, local_hostname);

    umount(MOUNT_POINT);
    json_decref(meta);
    free(local_hostname);
    free(id);
    free(text);
    return is_failed;
}
