/* What every unit test starts with: cmocka's own includes, a folder of its own, tables that name
 * the failing row. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"

/* A new empty folder, 0700; the caller frees the name and removes it with fs_remove_tree. */
static inline char *test_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    char *path = xasprintf("%s/vmm-test-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void test_folder_done(char *path)
{
    assert_int_equal(fs_remove_tree(path, NULL), 0);
    free(path);
}

#define ROWS(table) (sizeof(table) / sizeof(*(table)))

/* Fails with the table row's own line. */
#define row_check(row, condition)                                    \
    do {                                                             \
        if (!(condition))                                            \
            fail_msg("row at line %d: %s", (row)->line, #condition); \
    } while (0)
