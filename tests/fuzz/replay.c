/* Replays files through a fuzz target, without a fuzzer: every seed and every past find is an
 * ordinary test on every build. usage: replay_TARGET FILE... ; prints TAP. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return -1;
    static uint8_t data[8 << 20];
    const size_t n = fread(data, 1, sizeof(data), f);
    fclose(f);
    /* A copy of exactly this size, so that reading past its end is seen. */
    uint8_t *exact = malloc(n ? n : 1);
    for (size_t i = 0; exact && i < n; i++)
        exact[i] = data[i];
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        fflush(stdout); /* what stands there when a find aborts is the file before */
        printf("%s %d - %s\n", replay(argv[i]) == 0 ? "ok" : "not ok", i, argv[i]);
    }
    printf("1..%d\n", argc - 1);
    return 0;
}
