/* Progress, on a pseudo terminal that a small screen model reads, and without one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/utf8.h"
#include "cli/progress.h"
#include "cli/text.h"

/* A terminal that knows what we use: text, CR, LF, cursor up, erase to the end of line or screen.
 * Anything else fails the test. Lines scroll off at the top into `history`. */
enum { ROWS_MAX = 30, COLUMNS_MAX = 120 };

struct screen {
    unsigned width, height;
    unsigned x, y;
    char cells[ROWS_MAX][COLUMNS_MAX];
    struct buf history;
    unsigned wraps;
};

static void add_screen_line(struct buf *out, const char *cells, unsigned width)
{
    unsigned n = width;
    while (n > 0 && cells[n - 1] == ' ')
        n--;
    buf_add(out, cells, n);
    buf_addc(out, '\n');
}

static void screen_clear(struct screen *s)
{
    memset(s->cells, ' ', sizeof(s->cells));
    s->x = s->y = 0;
    buf_clear(&s->history);
}

static void line_feed(struct screen *s)
{
    if (s->y + 1 < s->height) {
        s->y++;
        return;
    }
    add_screen_line(&s->history, s->cells[0], s->width);
    memmove(s->cells[0], s->cells[1], sizeof(s->cells[0]) * (s->height - 1));
    memset(s->cells[s->height - 1], ' ', COLUMNS_MAX);
}

static void put(struct screen *s, char c, unsigned width)
{
    if (s->x + width > s->width) {
        s->x = 0;
        s->wraps++;
        line_feed(s);
    }
    for (unsigned i = 0; i < width; i++)
        s->cells[s->y][s->x++] = i ? ' ' : c;
}

static size_t control_sequence(struct screen *s, const char *p, size_t n)
{
    size_t at = 2;
    unsigned number = 0;
    for (; at < n && ((p[at] >= '0' && p[at] <= '9') || p[at] == ';'); at++)
        number = p[at] == ';' ? 0 : number * 10 + (unsigned)(p[at] - '0');
    assert_true(at < n);
    switch (p[at]) {
    case 'A':
        s->y = number > s->y ? 0 : s->y - number;
        break;
    case 'J':
        for (unsigned y = s->y + 1; y < s->height; y++)
            memset(s->cells[y], ' ', COLUMNS_MAX);
        memset(s->cells[s->y] + s->x, ' ', COLUMNS_MAX - s->x);
        break;
    case 'K':
        memset(s->cells[s->y] + s->x, ' ', COLUMNS_MAX - s->x);
        break;
    case 'm':
        break;
    default:
        fail_msg("unexpected escape ending in %c", p[at]);
    }
    return at + 1;
}

static void screen_feed(struct screen *s, const char *p, size_t n)
{
    while (n > 0) {
        size_t used = 1;
        uint32_t cp = 0;
        if (*p == '\n') {
            s->x = 0; /* the line discipline makes CR LF of it */
            line_feed(s);
        } else if (*p == '\r') {
            s->x = 0;
        } else if (n > 2 && p[0] == '\x1b' && p[1] == '[') {
            used = control_sequence(s, p, n);
        } else {
            used = utf8_decode(p, n, &cp);
            assert_true(used > 0 && cp >= 0x20);
            put(s, used > 1 ? '#' : *p, text_char_width(cp));
        }
        p += used;
        n -= used;
    }
}

/* Everything that has been seen, scrolled off or not. */
static void screen_text(const struct screen *s, struct buf *out)
{
    buf_clear(out);
    buf_add(out, s->history.p, s->history.n);
    unsigned last = s->height;
    while (last > 0 && strspn(s->cells[last - 1], " ") >= s->width)
        last--;
    for (unsigned y = 0; y < last; y++)
        add_screen_line(out, s->cells[y], s->width);
}

struct pty {
    int master, slave;
    struct screen screen;
    struct buf raw;
    struct buf text;
};

static int64_t now;
static int64_t fake_now(void)
{
    return now;
}

static void resize(struct pty *pty, unsigned width, unsigned height)
{
    const struct winsize size = {.ws_col = (unsigned short)width, .ws_row = (unsigned short)height};
    assert_int_equal(ioctl(pty->master, TIOCSWINSZ, &size), 0);
    pty->screen.width = width;
    pty->screen.height = height;
}

static void pty_open(struct pty *pty, unsigned width, unsigned height)
{
    *pty = (struct pty){.master = -1, .slave = -1};
    assert_int_equal(openpty(&pty->master, &pty->slave, NULL, NULL, NULL), 0);
    struct termios t;
    assert_int_equal(tcgetattr(pty->slave, &t), 0);
    t.c_oflag &= ~(tcflag_t)OPOST; /* bytes as written; the screen knows what LF would become */
    assert_int_equal(tcsetattr(pty->slave, TCSANOW, &t), 0);
    assert_int_equal(fcntl(pty->master, F_SETFL, O_NONBLOCK), 0);
    screen_clear(&pty->screen);
    resize(pty, width, height);
    now = 1000000;
}

static void pty_close(struct pty *pty)
{
    close(pty->master);
    close(pty->slave);
    buf_done(&pty->screen.history);
    buf_done(&pty->raw);
    buf_done(&pty->text);
}

/* Reads what has been written and returns the screen. */
static const char *shown(struct pty *pty)
{
    buf_clear(&pty->raw);
    char bytes[4096];
    ssize_t n;
    while ((n = read(pty->master, bytes, sizeof(bytes))) > 0)
        buf_add(&pty->raw, bytes, (size_t)n);
    screen_feed(&pty->screen, buf_cstr(&pty->raw), pty->raw.n);
    screen_text(&pty->screen, &pty->text);
    return buf_cstr(&pty->text);
}

static const struct terminal plain_live = {
    .is_terminal = true, .is_live = true, .width = 80, .height = 24};
static const struct progress_opts live_opts = {
    .terminal = &plain_live, .now_ms = fake_now, .has_no_ticker = true};

static void rows_are_redrawn_in_place(void **state)
{
    (void)state;
    struct pty pty;
    pty_open(&pty, 60, 10);
    const char *const names[] = {"web", "database"};
    struct progress *p = progress_new(pty.slave, names, 2, &live_opts);
    assert_string_equal(shown(&pty), "");
    progress_set(p, 0, "downloading noble.img", 0.43);
    assert_string_equal(shown(&pty), "| web       downloading noble.img  43 %  0 s\n"
                                     "  database  waiting\n");
    now += 12000;
    progress_set(p, 0, "waiting for ssh", -1);
    assert_string_equal(shown(&pty), "| web       waiting for ssh  12 s\n"
                                     "  database  waiting\n");
    now += 100;
    progress_set(p, 1, "making the disk", -1);
    assert_string_equal(shown(&pty), "/ web       waiting for ssh  12 s\n"
                                     "/ database  making the disk  0 s\n");
    now += 65000;
    progress_done(p, 0, PROGRESS_OK, "running, ssh on port 10042");
    now += 200;
    progress_done(p, 1, PROGRESS_FAILED, "no space left");
    const char *want = "+ web       running, ssh on port 10042  1 min 17 s\n"
                       "x database  no space left  1 min 05 s\n";
    assert_string_equal(shown(&pty), want);
    progress_free(p);
    assert_string_equal(shown(&pty), want);
    /* The prompt comes right below. */
    assert_int_equal(pty.screen.x, 0);
    assert_int_equal(pty.screen.y, 2);
    assert_int_equal(pty.screen.wraps, 0);
    pty_close(&pty);
}

static void fast_changes_are_drawn_ten_times_a_second(void **state)
{
    (void)state;
    struct pty pty;
    pty_open(&pty, 60, 10);
    struct progress *p = progress_new(pty.slave, (const char *const[]){"web"}, 1, &live_opts);
    progress_set(p, 0, "a", 0);
    shown(&pty);
    now += 99;
    progress_set(p, 0, "b", 0.5);
    assert_string_equal(shown(&pty), "| web  a   0 %  0 s\n");
    assert_int_equal(pty.raw.n, 0);
    now += 1;
    progress_set(p, 0, "c", 0.6);
    assert_string_equal(shown(&pty), "/ web  c  60 %  0 s\n");
    progress_set(p, 0, "d", 2);
    progress_tick(p);
    assert_string_equal(shown(&pty), "/ web  d 100 %  0 s\n");
    progress_free(p);
    pty_close(&pty);
}

static void output_scrolls_above_the_rows(void **state)
{
    (void)state;
    struct pty pty;
    pty_open(&pty, 40, 6);
    const char *const names[] = {"web", "db"};
    struct progress *p = progress_new(pty.slave, names, 2, &live_opts);
    progress_set(p, 0, "provisioning", -1);
    progress_feed(p, 0, "first\nsec", 9);
    progress_feed(p, 0, "ond\r\n\x1b[2Jx", 10);
    progress_log(p, 1, "hello");
    progress_log(p, PROGRESS_NO_ROW, "for all");
    progress_tick(p);
    assert_string_equal(shown(&pty), "web | first\nweb | second\ndb  | hello\nfor all\n"
                                     "| web  provisioning  0 s\n  db   waiting\n");
    progress_feed_end(p, 0);
    progress_tick(p);
    /* longer than the terminal is wide: wraps, and the rows stay whole */
    progress_log(p, 1, "0123456789012345678901234567890123456789012345678901234567890123456789");
    progress_tick(p);
    assert_string_equal(shown(&pty),
        "web | first\nweb | second\ndb  | hello\nfor all\nweb | \\x1b[2Jx\n"
        "db  | 0123456789012345678901234567890123\n456789012345678901234567890123456789\n"
        "| web  provisioning  0 s\n  db   waiting\n");
    progress_free(p);
    pty_close(&pty);
}

static void narrow_terminals_cut_the_rows(void **state)
{
    (void)state;
    for (unsigned width = 1; width <= 40; width++) {
        struct pty pty;
        pty_open(&pty, width, 6);
        const char *const names[] = {"webserver", "日本語データ"};
        struct progress *p = progress_new(pty.slave, names, 2, &live_opts);
        for (int i = 0; i < 5; i++) {
            now += 1000;
            progress_set(p, 0, "downloading an image with a long name", 0.1 * i);
            progress_set(p, 1, "日本語日本語日本語日本語日本語", -1);
            progress_tick(p);
        }
        shown(&pty);
        assert_int_equal(pty.screen.wraps, 0);
        assert_int_equal(pty.screen.y, 2);
        assert_int_equal(pty.screen.history.n, 0);
        progress_free(p);
        pty_close(&pty);
    }
    struct pty pty;
    pty_open(&pty, 30, 6);
    struct progress *p = progress_new(pty.slave, (const char *const[]){"web"}, 1, &live_opts);
    progress_set(p, 0, "downloading an image with a long name", 0.5);
    assert_string_equal(shown(&pty), "| web  downloadin~  50 %  0 s\n");
    progress_free(p);
    pty_close(&pty);
}

static void a_new_width_is_noticed(void **state)
{
    (void)state;
    struct pty pty;
    pty_open(&pty, 60, 6);
    struct progress *p = progress_new(pty.slave, (const char *const[]){"web"}, 1, &live_opts);
    progress_set(p, 0, "0123456789 0123456789", -1);
    assert_string_equal(shown(&pty), "| web  0123456789 0123456789  0 s\n");
    resize(&pty, 25, 6);
    /* The terminal folds the 33 columns into two lines. */
    screen_clear(&pty.screen);
    screen_feed(&pty.screen, "| web  0123456789 0123456789  0 s\n", 34);
    assert_int_equal(pty.screen.y, 2);
    progress_tick(p);
    assert_string_equal(shown(&pty), "| web  0123456789 ~  0 s\n");
    progress_free(p);
    pty_close(&pty);
}

static void more_rows_than_lines(void **state)
{
    (void)state;
    struct pty pty;
    pty_open(&pty, 40, 5);
    const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    struct progress *p = progress_new(pty.slave, names, 6, &live_opts);
    progress_set(p, 3, "booting", -1);
    progress_tick(p);
    assert_string_equal(
        shown(&pty), "  a  waiting\n  b  waiting\n| d  booting  0 s\n  and 3 more\n");
    progress_done(p, 3, PROGRESS_OK, "running");
    progress_done(p, 1, PROGRESS_SKIPPED, "runs already");
    progress_tick(p);
    assert_string_equal(shown(&pty), "- b  runs already\n+ d  running  0 s\n"
                                     "  a  waiting\n  c  waiting\n  e  waiting\n  f  waiting\n");
    for (int i = 0; i < 6; i++)
        progress_done(p, i, PROGRESS_OK, "up");
    progress_free(p);
    const char *all = shown(&pty);
    for (int i = 0; i < 6; i++) {
        char line[] = "+ a  up";
        line[2] = (char)('a' + i);
        if (i != 1 && i != 3)
            assert_non_null(strstr(all, line));
    }
    pty_close(&pty);
}

static void names_and_states_cannot_move_the_cursor(void **state)
{
    (void)state;
    struct pty pty;
    pty_open(&pty, 60, 6);
    struct progress *p = progress_new(pty.slave, (const char *const[]){"a\x1b[9A"}, 1, &live_opts);
    progress_set(p, 0, "x\n\x1b[2J\ry", -1);
    assert_string_equal(shown(&pty), "| a\\x1b[9A  x \\x1b[2J\\x0dy  0 s\n");
    progress_free(p);
    pty_close(&pty);
}

static void colours_are_balanced(void **state)
{
    (void)state;
    struct pty pty;
    pty_open(&pty, 30, 6);
    const struct terminal colourful = {
        .is_terminal = true, .is_live = true, .has_colour = true, .has_utf8 = true};
    const struct progress_opts opts = {
        .terminal = &colourful, .now_ms = fake_now, .has_no_ticker = true};
    const char *const names[] = {"web", "db"};
    struct progress *p = progress_new(pty.slave, names, 2, &opts);
    progress_set(p, 0, "booting a very long state that is cut", -1);
    assert_string_equal(shown(&pty), "# web  booting a very l#  0 s\n  db   waiting\n");
    progress_done(p, 0, PROGRESS_FAILED, "no");
    progress_tick(p);
    progress_log(p, 0, "said");
    progress_tick(p);
    assert_string_equal(shown(&pty), "web | said\n# web  no  0 s\n  db   waiting\n");
    size_t begun = 0, ended = 0;
    for (const char *e = buf_cstr(&pty.raw); (e = strstr(e, "\x1b[")); e += 2) {
        const size_t n = strspn(e + 2, "0123456789;");
        if (e[2 + n] == 'm')
            *(strncmp(e + 2, "0m", 2) == 0 ? &ended : &begun) += 1;
    }
    assert_true(begun > 0);
    assert_int_equal(begun, ended);
    progress_free(p);
    pty_close(&pty);
}

static void flood(struct progress *p, int row)
{
    cleanup_buf struct buf line = {0};
    for (int i = 0; i < 20000; i++) {
        buf_clear(&line);
        buf_addf(&line, "line %d of row %d\n", i, row);
        progress_feed(p, row, line.p, line.n);
        if (i % 100 == 0)
            progress_setf(p, row, i / 20000.0, "step %d", i / 100);
    }
    progress_done(p, row, PROGRESS_OK, "done");
}

struct work {
    struct progress *p;
    int row;
};

static void *flood_thread(void *arg)
{
    const struct work *work = arg;
    flood(work->p, work->row);
    return NULL;
}

static void *drain(void *arg)
{
    struct pty *pty = arg;
    char bytes[65536];
    for (;;) {
        poll(&(struct pollfd){.fd = pty->master, .events = POLLIN}, 1, -1);
        const ssize_t n = read(pty->master, bytes, sizeof(bytes));
        if (n < 0 && errno == EAGAIN)
            continue;
        if (n <= 0)
            return NULL; /* EIO: the slave is closed */
        buf_add(&pty->raw, bytes, (size_t)n);
    }
}

/* The real thing: ticker, clock, four threads. Every line arrives whole and in order. */
static void many_threads_at_full_speed(void **state)
{
    (void)state;
    struct pty pty;
    pty_open(&pty, 100, 20);
    pthread_t reader, threads[4];
    pthread_create(&reader, NULL, drain, &pty);
    const char *const names[] = {"a", "b", "c", "d"};
    struct progress *p =
        progress_new(pty.slave, names, 4, &(struct progress_opts){.terminal = &plain_live});
    struct work work[4];
    for (int i = 0; i < 4; i++) {
        work[i] = (struct work){.p = p, .row = i};
        pthread_create(&threads[i], NULL, flood_thread, &work[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    progress_free(p);
    close(pty.slave);
    pthread_join(reader, NULL);
    pty.slave = -1;
    screen_feed(&pty.screen, pty.raw.p, pty.raw.n);
    screen_text(&pty.screen, &pty.text);
    int next[4] = {0};
    for (char *line = strtok(pty.text.p, "\n"); line; line = strtok(NULL, "\n")) {
        int number, row;
        char name;
        if (sscanf(line, "%c | line %d of row %d", &name, &number, &row) == 3) {
            assert_true(row >= 0 && row < 4);
            assert_int_equal(name, 'a' + row);
            assert_int_equal(number, next[row]);
            next[row]++;
        } else {
            assert_true(line[0] == '+'); /* the four rows at the end, once */
        }
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(next[i], 20000);
    assert_int_equal(pty.screen.wraps, 0);
    pty_close(&pty);
}

/* The spinner moves though nobody calls. */
static void the_ticker_draws(void **state)
{
    (void)state;
    struct pty pty;
    pty_open(&pty, 60, 6);
    struct progress *p = progress_new(pty.slave, (const char *const[]){"web"}, 1,
        &(struct progress_opts){.terminal = &plain_live});
    progress_set(p, 0, "booting", -1);
    shown(&pty);
    unsigned frames = 0;
    while (frames < 3) {
        if (poll(&(struct pollfd){.fd = pty.master, .events = POLLIN}, 1, 10000) != 1)
            fail_msg("nothing was drawn for ten seconds");
        shown(&pty);
        frames++;
    }
    progress_free(p);
    pty_close(&pty);
}

static void without_a_terminal_states_are_lines(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    now = 5000;
    const struct terminal none = {0};
    const struct progress_opts opts = {.terminal = &none, .now_ms = fake_now};
    const char *const names[] = {"web", "database"};
    struct progress *p = progress_new(ends[1], names, 2, &opts);
    progress_set(p, 0, "downloading", 0.1);
    progress_set(p, 0, "downloading", 0.2);
    now += 12400;
    progress_set(p, 0, "waiting for ssh", -1);
    progress_set(p, 0, "waiting for ssh", -1);
    progress_log(p, 0, "out\x1b[1mput");
    progress_feed(p, 1, "a\nb", 3);
    progress_done(p, 1, PROGRESS_SKIPPED, "runs already");
    now += 60000;
    progress_done(p, 0, PROGRESS_FAILED, "no answer");
    progress_free(p);
    close(ends[1]);
    cleanup_buf struct buf got = {0};
    assert_int_equal(fs_read_all(ends[0], 1 << 20, &got), 0);
    close(ends[0]);
    assert_string_equal(buf_cstr(&got), "web: downloading\n"
                                        "web: waiting for ssh (12 s)\n"
                                        "web      | output\n"
                                        "database | a\n"
                                        "database | b\n"
                                        "database: runs already\n"
                                        "web: failed: no answer (1 min 12 s)\n");
}

static void one_nameless_row_needs_no_prefix(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const struct terminal none = {0};
    const struct progress_opts opts = {.terminal = &none, .now_ms = fake_now};
    struct progress *p = progress_new(ends[1], (const char *const[]){""}, 1, &opts);
    progress_set(p, 0, "downloading x", 0);
    progress_log(p, 0, "raw line");
    progress_done(p, 0, PROGRESS_OK, "downloaded x");
    progress_free(p);
    close(ends[1]);
    cleanup_buf struct buf got = {0};
    assert_int_equal(fs_read_all(ends[0], 1 << 20, &got), 0);
    close(ends[0]);
    assert_string_equal(buf_cstr(&got), "downloading x\nraw line\ndownloaded x\n");
}

static void no_progress_is_quiet(void **state)
{
    (void)state;
    progress_set(NULL, 0, "x", 0);
    progress_setf(NULL, 0, 0, "%d", 1);
    progress_done(NULL, 0, PROGRESS_OK, "x");
    progress_log(NULL, 0, "x");
    progress_feed(NULL, 0, "x", 1);
    progress_feed_end(NULL, 0);
    progress_tick(NULL);
    progress_free(NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_redrawn_in_place),
        cmocka_unit_test(fast_changes_are_drawn_ten_times_a_second),
        cmocka_unit_test(output_scrolls_above_the_rows),
        cmocka_unit_test(narrow_terminals_cut_the_rows),
        cmocka_unit_test(a_new_width_is_noticed),
        cmocka_unit_test(more_rows_than_lines),
        cmocka_unit_test(names_and_states_cannot_move_the_cursor),
        cmocka_unit_test(colours_are_balanced),
        cmocka_unit_test(many_threads_at_full_speed),
        cmocka_unit_test(the_ticker_draws),
        cmocka_unit_test(without_a_terminal_states_are_lines),
        cmocka_unit_test(one_nameless_row_needs_no_prefix),
        cmocka_unit_test(no_progress_is_quiet),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
