#include "vmfile/internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const schemes[] = {"http", "https", "file", "oci"};

/* What follows "scheme://", or NULL; the scheme's name in *ret_scheme. */
static const char *after_scheme(const char *url, const char **ret_scheme)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
        const size_t n = strlen(schemes[i]);
        if (strncasecmp(url, schemes[i], n) == 0 && strncmp(url + n, "://", 3) == 0) {
            *ret_scheme = schemes[i];
            return url + n + 3;
        }
    }
    return NULL;
}

/* ":8080", or nothing. */
static bool port_is_valid(const char *p, size_t n)
{
    if (n == 0)
        return true;
    unsigned port = 0;
    for (size_t i = 1; i < n; i++) {
        if (!isdigit((unsigned char)p[i]) || port > 65535)
            return false;
        port = port * 10 + (unsigned)(p[i] - '0');
    }
    return *p == ':' && n > 1 && port > 0 && port <= 65535;
}

/* host, host:port, [::1]:port; perhaps with user@ before it. */
static bool authority_is_valid(struct str authority)
{
    const char *at = memrchr(authority.p, '@', authority.n);
    const char *host = at ? at + 1 : authority.p;
    const char *end = authority.p + authority.n;
    const char *stop = host;
    if (host < end && *host == '[') {
        while (stop < end && *stop != ']')
            stop++;
        if (stop == end || stop == host + 1)
            return false;
        stop++;
    } else {
        while (stop < end && *stop != ':')
            stop++;
    }
    return stop > host && port_is_valid(stop, (size_t)(end - stop));
}

const char *vmfile_url_fault(const char *url, const char **ret_help)
{
    const char *scheme = NULL;
    const char *rest = after_scheme(url, &scheme);
    *ret_help = "A URL looks like \"https://example.com/image.qcow2\".";
    if (!rest) {
        *ret_help =
            "Begin it with http://, https://, file:// or oci://, or use `image` for a file.";
        return strstr(url, "://") ? "images do not come this way" : "not a URL";
    }
    for (const char *p = url; *p; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '\\') {
            *ret_help = "Write a space as %20 and a backslash as %5C.";
            return "has a character that no URL may have";
        }
    }
    if (strcmp(scheme, "file") == 0) {
        *ret_help = "Three slashes and the whole path: file:///srv/image.qcow2";
        return *rest == '/' && rest[1] ? NULL : "not an absolute path";
    }
    const struct str authority = {.p = rest, .n = strcspn(rest, "/?#")};
    if (!authority_is_valid(authority))
        return "the name of the server is not right";
    if (strcmp(scheme, "oci") == 0 && (rest[authority.n] != '/' || !rest[authority.n + 1])) {
        *ret_help = "An image in a registry looks like \"oci://ghcr.io/owner/image:tag\".";
        return "the name of the image is missing";
    }
    return NULL;
}

bool vmfile_is_url(const char *text)
{
    const char *scheme;
    return after_scheme(text, &scheme) != NULL;
}
