/* Makes one system call fail: the FAIL_AT-th of those that change files below FAIL_BELOW.
 *
 * Loaded into bingrasp by failing_calls.py (LD_PRELOAD). Counted are open for writing, write, sync, rename, mkdir, truncate and
 * removal, over all threads; the chosen one returns FAIL_ERRNO and does nothing. With FAIL_FOR=all every later one fails too, as
 * on a disk that stays full. FAIL_LOG gets a line for the call that failed, and the number of calls at the end of the process.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;
static long fail_at, fail_errno;
static int fail_all, log_file = -1;
static char below[4096];

static void say(const char *text) { syscall(SYS_write, log_file, text, strlen(text)); }

__attribute__((constructor)) static void begin(void) {
    const char *at = getenv("FAIL_AT"), *error = getenv("FAIL_ERRNO"), *root = getenv("FAIL_BELOW"), *log = getenv("FAIL_LOG");
    const char *all = getenv("FAIL_FOR");
    fail_at = at ? atol(at) : 0;
    fail_errno = error ? atol(error) : ENOSPC;
    fail_all = all && strcmp(all, "all") == 0;
    if (root) snprintf(below, sizeof below, "%s", root);
    if (log) log_file = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

__attribute__((destructor)) static void finish(void) {
    char line[64];
    snprintf(line, sizeof line, "calls %ld\n", atomic_load(&calls));
    say(line);
}

static int fails(const char *name, const char *path) {
    size_t length = strlen(below);
    if (!length || !path || strncmp(path, below, length)) return 0;
    long number = atomic_fetch_add(&calls, 1) + 1;
    if (number != fail_at && !(fail_all && fail_at && number > fail_at)) return 0;
    if (number == fail_at) {
        char line[4400];
        snprintf(line, sizeof line, "failed %s %s\n", name, path + length);
        say(line);
    }
    errno = (int)fail_errno;
    return 1;
}

static int fails_at(const char *name, int folder, const char *path) {
    char whole[8192], link[64], base[4096];
    if (path[0] == '/') return fails(name, path);
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t n = readlink(link, base, sizeof base - 1);
        if (n < 0) return 0;
        base[n] = 0;
    }
    snprintf(whole, sizeof whole, "%s/%s", base, path);
    return fails(name, whole);
}

static int fails_fd(const char *name, int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return fails(name, path);
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define MODE(flags) mode_t mode = 0; if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }
#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))

#define OPEN(name) \
    int name(const char *path, int flags, ...) { REAL(name); MODE(flags) return WRITES(flags) && fails_at(#name, AT_FDCWD, path) ? -1 : real(path, flags, mode); }
#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { REAL(name); MODE(flags) return WRITES(flags) && fails_at(#name, folder, path) ? -1 : real(folder, path, flags, mode); }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)

ssize_t write(int file, const void *bytes, size_t count) { REAL(write); return fails_fd("write", file) ? -1 : real(file, bytes, count); }
ssize_t writev(int file, const struct iovec *parts, int count) { REAL(writev); return fails_fd("writev", file) ? -1 : real(file, parts, count); }
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) { REAL(pwrite64); return fails_fd("pwrite64", file) ? -1 : real(file, bytes, count, at); }
ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) { REAL(pwrite); return fails_fd("pwrite", file) ? -1 : real(file, bytes, count, at); }
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t count, unsigned flags) { REAL(copy_file_range); return fails_fd("copy_file_range", to) ? -1 : real(from, a, to, b, count, flags); }
ssize_t sendfile64(int to, int from, off64_t *at, size_t count) { ssize_t (*real)(int, int, off64_t *, size_t) = dlsym(RTLD_NEXT, "sendfile64"); return fails_fd("sendfile64", to) ? -1 : real(to, from, at, count); }
int fsync(int file) { REAL(fsync); return fails_fd("fsync", file) ? -1 : real(file); }
int fdatasync(int file) { REAL(fdatasync); return fails_fd("fdatasync", file) ? -1 : real(file); }
int ftruncate64(int file, off64_t size) { REAL(ftruncate64); return fails_fd("ftruncate64", file) ? -1 : real(file, size); }
int ftruncate(int file, off_t size) { REAL(ftruncate); return fails_fd("ftruncate", file) ? -1 : real(file, size); }
int rename(const char *from, const char *to) { REAL(rename); return fails_at("rename", AT_FDCWD, to) ? -1 : real(from, to); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); return fails_at("mkdir", AT_FDCWD, path) ? -1 : real(path, mode); }
int unlink(const char *path) { REAL(unlink); return fails_at("unlink", AT_FDCWD, path) ? -1 : real(path); }
int rmdir(const char *path) { REAL(rmdir); return fails_at("rmdir", AT_FDCWD, path) ? -1 : real(path); }
int unlinkat(int folder, const char *path, int flags) { REAL(unlinkat); return fails_at("unlinkat", folder, path) ? -1 : real(folder, path, flags); }
