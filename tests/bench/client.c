/* The load generator: holds N streams open, SSE or WebSocket, and counts the events that arrive on them.
 *
 * client HOST PORT PATH N SECONDS AT_ONCE [REQUEST HEADER]...
 *
 * An event is found by its marker "t":<unix ns>, which every payload has once and which says when it was emitted; so the
 * same program measures every server. It prints READY once each stream has got a byte after the response's header. Then each
 * line "DELIVERIES SECONDS" on stdin is a round: it answers GO, counts, and prints what it saw in one line. It ends with stdin,
 * and in any case after SECONDS. AT_ONCE streams at most are being opened at the same time; one that is refused for now (503) is opened
 * again when the response says (Retry-After). @FILE in place of a header: the clients take its lines in turn, one each.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char MARK[] = "\"t\":", HEADER_END[] = "\r\n\r\n";

typedef struct {
    int fd, started, header_matched, header_done, ready, mark_matched;
    unsigned long long stamp, again; /* when it is to be opened again, 0 while it need not be */
} stream;

static struct {
    long wanted, seen, size;
    unsigned *latencies; /* microseconds */
    unsigned long long first_stamp, last_seen, deadline;
} round_;
static long ready, closed, refused;
enum { MOST_LINES = 4096 };
static char request_[4096], line_[MOST_LINES][256];
static long lines_;

static unsigned long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return x < y ? -1 : x > y;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* The request of a client: what all say, and its own line. */
static void ask(int fd, long number) {
    char text[4608];
    int length = snprintf(text, sizeof text, "%s%s%s\r\n", request_, lines_ ? line_[number % lines_] : "", lines_ ? "\r\n" : "");
    if (write(fd, text, length) != length) fail("write");
}

static void read_lines(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) fail(path);
    while (lines_ < MOST_LINES && fgets(line_[lines_], sizeof line_[0], file)) {
        line_[lines_][strcspn(line_[lines_], "\r\n")] = 0;
        lines_++;
    }
    fclose(file);
}

static void open_stream(stream *s, int poll, struct sockaddr_in *address, long number) {
    int one = 1;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (s->fd < 0) fail("socket");
    for (int tries = 0; connect(s->fd, (void *)address, sizeof *address) < 0; usleep(20000))
        if (++tries > 100) fail("connect");
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    ask(s->fd, number);
    fcntl(s->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
    epoll_ctl(poll, EPOLL_CTL_ADD, s->fd, &e);
}

static void count(stream *s, unsigned long long seen_at) {
    if (round_.seen < round_.wanted) round_.latencies[round_.seen] = seen_at > s->stamp ? (seen_at - s->stamp) / 1000 : 0;
    if (!round_.first_stamp || s->stamp < round_.first_stamp) round_.first_stamp = s->stamp;
    round_.last_seen = seen_at;
    round_.seen++;
}

static void take(stream *s, const char *bytes, ssize_t length) {
    ssize_t i = 0;
    if (!s->started && length > 12 && !memcmp(bytes + 9, "503", 3)) {
        const char *after = memmem(bytes, length, "retry-after:", 12);
        s->again = now_ns() + (unsigned long long)(after ? atoi(after + 12) : 1) * 1000000000ull;
        refused++;
        return;
    }
    if (!s->started++ && !(length > 12 && (!memcmp(bytes + 9, "200", 3) || !memcmp(bytes + 9, "101", 3)))) {
        fprintf(stderr, "refused: %.*s\n", (int)length, bytes);
        exit(1);
    }
    for (; i < length && !s->header_done; i++) {
        s->header_matched = bytes[i] == HEADER_END[s->header_matched] ? s->header_matched + 1 : bytes[i] == '\r';
        s->header_done = s->header_matched == 4;
    }
    if (i < length && !s->ready) {
        s->ready = 1;
        ready++;
    }
    unsigned long long seen_at = now_ns();
    for (; i < length; i++) {
        char c = bytes[i];
        if (s->mark_matched < 4) {
            s->mark_matched = c == MARK[s->mark_matched] ? s->mark_matched + 1 : c == '"';
            s->stamp = 0;
        } else if (c >= '0' && c <= '9') {
            s->stamp = s->stamp * 10 + (c - '0');
        } else if (c != ' ' || s->stamp) {
            s->mark_matched = 0;
            count(s, seen_at);
        }
    }
}

static void read_stream(stream *s) {
    static char buffer[1 << 18];
    for (;;) {
        ssize_t length = read(s->fd, buffer, sizeof buffer);
        if (length > 0) take(s, buffer, length);
        if (s->again) {
            close(s->fd);
            return;
        }
        if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR)) {
            close(s->fd);
            closed++;
        }
        if (length < (ssize_t)sizeof buffer) return;
    }
}

static void begin_round(char *line) {
    double seconds;
    if (sscanf(line, "%ld %lf", &round_.wanted, &seconds) != 2) exit(2);
    if (round_.wanted > round_.size) {
        round_.size = round_.wanted;
        round_.latencies = realloc(round_.latencies, round_.size * sizeof *round_.latencies);
        if (!round_.latencies) fail("realloc");
    }
    round_.seen = 0;
    round_.first_stamp = round_.last_seen = 0;
    round_.deadline = now_ns() + (unsigned long long)(seconds * 1e9);
    puts("GO");
}

static void end_round(void) {
    long n = round_.seen < round_.wanted ? round_.seen : round_.wanted;
    unsigned *l = round_.latencies;
    qsort(l, n, sizeof *l, by_size);
    printf("deliveries=%ld closed=%ld first_ns=%llu last_ns=%llu p50_us=%u p99_us=%u max_us=%u\n", round_.seen, closed,
           round_.first_stamp, round_.last_seen, n ? l[n / 2] : 0, n ? l[(long)(n * .99)] : 0, n ? l[n - 1] : 0);
    round_.wanted = 0;
}

int main(int argc, char **argv) {
    if (argc < 7) return 2;
    long n = atol(argv[4]), at_once = atol(argv[6]), opened = 0;
    int announced = 0, poll = epoll_create1(0);
    char line[128];
    size_t length = snprintf(request_, sizeof request_, "GET %s HTTP/1.1\r\nHost: %s:%s\r\n", argv[3], argv[1], argv[2]);
    for (int i = 7; i < argc; i++) {
        if (argv[i][0] == '@') read_lines(argv[i] + 1);
        else length += snprintf(request_ + length, sizeof request_ - length, "%s\r\n", argv[i]);
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(atoi(argv[5]));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    stream *streams = calloc(n, sizeof *streams);
    struct epoll_event events[512], input = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poll, EPOLL_CTL_ADD, 0, &input);
    for (;;) {
        for (; opened < n && opened - ready < at_once; opened++)
            open_stream(&streams[opened], poll, &address, opened);
        for (long i = 0; refused && i < opened; i++)
            if (streams[i].again && now_ns() > streams[i].again) {
                streams[i] = (stream){0};
                refused--;
                open_stream(&streams[i], poll, &address, i);
            }
        int got = epoll_wait(poll, events, 512, 100);
        for (int i = 0; i < got; i++) {
            if (events[i].data.ptr) {
                read_stream(events[i].data.ptr);
            } else {
                ssize_t bytes = read(0, line, sizeof line - 1);
                if (bytes <= 0) return 0;
                line[bytes] = 0;
                begin_round(line);
            }
        }
        if (!announced && ready == n) announced = puts("READY") >= 0;
        if (round_.wanted && (round_.seen >= round_.wanted || now_ns() > round_.deadline)) end_round();
    }
}
