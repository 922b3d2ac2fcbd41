/* vmm-seed: files in (seed/frame.h, on standard input), a NoCloud ISO out (on descriptor 3). Run by
 * seed_write_iso, in a process of its own because of libarchive and what that brings along. */
#include "base/buf.h"
#include "base/error.h"
#include "base/fs.h"
#include "seed/frame.h"
#include "seed/iso.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IMAGE_FD = 3 };

static int say(const char *what, int sys)
{
    fprintf(stderr, "vmm-seed: %s%s%s\n", what, sys ? ": " : "", sys ? strerror(sys) : "");
    return 1;
}

int main(void)
{
    umask(077);
    /* It holds a private key: no core, no looking in by a debugger. */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    prctl(PR_SET_DUMPABLE, 0);

    cleanup_buf struct buf input = {0};
    cleanup_buf struct buf image = {0};
    struct frame_file files[FRAME_FILES_MAX];
    size_t count;
    int r = fs_read_all(STDIN_FILENO, FRAME_MAX_BYTES, &input);
    if (r < 0)
        return say("could not read the documents", -r);
    if (!frame_decode((struct str){.p = buf_cstr(&input), .n = input.n}, files, &count))
        return say("this is a helper of vmctl and of no use by itself", 0);
    struct vmm_error *e = NULL;
    if (iso_build("cidata", files, count, &image, &e) < 0)
        return say(vmm_error_message(e), 0);
    r = fs_write_all(IMAGE_FD, image.p, image.n);
    return r < 0 ? say("could not hand over the image", -r) : 0;
}
