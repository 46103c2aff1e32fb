/* A disk that fails and a clock that leaps, between one process and its C library. Preloaded by tests alone.
 *
 * SHIM_CONTROL names a file of struct control, mapped and shared: whoever writes it decides what happens from then on.
 * Only files whose path holds `place` are touched, and only the clock on the wall: waits are counted by the other one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct control {
    int32_t sync_error, write_error, open_error, unused;
    int64_t wall_offset_s;
    char place[232];
};

static volatile struct control *control;

#define REAL(name) \
    static __typeof__(&name) real; \
    if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void look(void) {
    const char *path = getenv("SHIM_CONTROL");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof(struct control), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) control = mapped;
}

static int is_meant(const char *path) { return strstr(path, (const char *)control->place) != NULL; }

static int is_failing(int file, int32_t error) {
    char link[64], path[4096];
    if (error == 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_meant(path);
}

#define FAIL(file, kind) \
    if (control != NULL && is_failing(file, control->kind)) { errno = control->kind; return -1; }

int fsync(int file) { REAL(fsync); FAIL(file, sync_error) return real(file); }
int fdatasync(int file) { REAL(fdatasync); FAIL(file, sync_error) return real(file); }
ssize_t write(int file, const void *from, size_t count) { REAL(write); FAIL(file, write_error) return real(file, from, count); }
ssize_t pwrite(int file, const void *from, size_t count, off_t at) { REAL(pwrite); FAIL(file, write_error) return real(file, from, count, at); }
ssize_t pwrite64(int file, const void *from, size_t count, off64_t at) { REAL(pwrite64); FAIL(file, write_error) return real(file, from, count, at); }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        if (control != NULL && control->open_error && (flags & (O_WRONLY | O_RDWR | O_CREAT)) && is_meant(path)) { \
            errno = control->open_error; return -1; \
        } \
        return real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

static int64_t offset_s(clockid_t clock) {
    return control != NULL && clock == CLOCK_REALTIME ? control->wall_offset_s : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int result = real(clock, now);
    if (result == 0) now->tv_sec += offset_s(clock);
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    REAL(gettimeofday);
    int result = real(now, zone);
    if (result == 0) now->tv_sec += offset_s(CLOCK_REALTIME);
    return result;
}

time_t time(time_t *where) {
    REAL(time);
    time_t now = real(NULL) + offset_s(CLOCK_REALTIME);
    if (where != NULL) *where = now;
    return now;
}
