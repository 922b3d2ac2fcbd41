/* vmm-ssh: one SSH connection to one guest, in a process that holds nothing else.
 *
 * Not for people: the library starts it with one end of a socketpair as descriptor 3 and speaks
 * src/ssh/proto.h with it. It confines itself before it reads a byte (src/ssh/sandbox.c) and ends
 * when the socket closes.
 *
 *   src/ssh/worker.c         the loop, frames, keep-alive
 *   src/ssh/worker_login.c   key exchange, host key, login
 *   src/ssh/worker_exec.c    commands
 *   src/ssh/worker_move.c    files, over src/ssh/transfer.c
 *   src/ssh/worker_keygen.c  new keys */
#include "ssh/sandbox.h"
#include "ssh/worker.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WIRE_FD = 3, EXIT_USAGE = 2, EXIT_UNCONFINED = 3 };

/* In a sanitizer's build: looking for leaks at the end needs files and a tracer, which the sandbox
 * refuses. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

int main(void)
{
    struct stat st;
    if (fstat(WIRE_FD, &st) < 0 || !S_ISSOCK(st.st_mode)) {
        fputs("vmm-ssh: started by the vmm library, not by hand\n", stderr);
        return EXIT_USAGE;
    }
    /* ^C and a closing terminal are the tool's to handle; a gone library shows as a closed socket.
     */
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    umask(077);
    /* Reads OpenSSL's configuration: the last file there is to open. */
    if (ssh_init() != SSH_OK)
        return 1;
    struct sandbox box;
    if (!sandbox_enter(&box))
        return EXIT_UNCONFINED;
    worker_run(WIRE_FD, box.landlock, box.has_seccomp);
    ssh_finalize();
    return 0;
}
