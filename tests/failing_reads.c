// Makes opening, reading or asking about files fail, below everything that a process uses to read them: preloaded (LD_PRELOAD), it
// stands between the process and the C library.
//
//   FAIL_PATH   a part of the paths that fail; unset or empty: none do
//   FAIL_CALL   open, read or stat
//   FAIL_ERRNO  the error's number
//   FAIL_AFTER  how many matching calls succeed first
//   FAIL_TIMES  how many fail then
//
// The variables are looked at in every call, so that a process can change its own; a changed FAIL_PATH counts anew.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char counted[4096];
static long count;

static long number(const char *name) {
  const char *text = getenv(name);
  return text ? atol(text) : 0;
}

static int fails(const char *call, const char *path) {
  const char *part = getenv("FAIL_PATH"), *wanted = getenv("FAIL_CALL");
  if (!part || !*part || !wanted || strcmp(wanted, call) || !path || !strstr(path, part)) return 0;
  pthread_mutex_lock(&lock);
  if (strcmp(counted, part)) {
    snprintf(counted, sizeof counted, "%s", part);
    count = 0;
  }
  long position = count++ - number("FAIL_AFTER");
  pthread_mutex_unlock(&lock);
  if (position < 0 || position >= number("FAIL_TIMES")) return 0;
  errno = (int)number("FAIL_ERRNO");
  return 1;
}

static int read_fails(int descriptor) {
  const char *wanted = getenv("FAIL_CALL");
  if (!wanted || strcmp(wanted, "read")) return 0;
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return fails("read", path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MODE(flags)                              \
  mode_t mode = 0;                               \
  if ((flags) & (O_CREAT | O_TMPFILE)) {         \
    va_list rest;                                \
    va_start(rest, flags);                       \
    mode = va_arg(rest, mode_t);                 \
    va_end(rest);                                \
  }

int open(const char *path, int flags, ...) {
  MODE(flags)
  return fails("open", path) ? -1 : REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  MODE(flags)
  return fails("open", path) ? -1 : REAL(open64)(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
  MODE(flags)
  return fails("open", path) ? -1 : REAL(openat)(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
  MODE(flags)
  return fails("open", path) ? -1 : REAL(openat64)(folder, path, flags, mode);
}
DIR *opendir(const char *path) { return fails("open", path) ? NULL : REAL(opendir)(path); }
ssize_t read(int descriptor, void *buffer, size_t size) {
  return read_fails(descriptor) ? -1 : REAL(read)(descriptor, buffer, size);
}
ssize_t pread(int descriptor, void *buffer, size_t size, off_t offset) {
  return read_fails(descriptor) ? -1 : REAL(pread)(descriptor, buffer, size, offset);
}
ssize_t pread64(int descriptor, void *buffer, size_t size, off64_t offset) {
  return read_fails(descriptor) ? -1 : REAL(pread64)(descriptor, buffer, size, offset);
}

int stat(const char *path, struct stat *facts) { return fails("stat", path) ? -1 : REAL(stat)(path, facts); }
int stat64(const char *path, struct stat64 *facts) { return fails("stat", path) ? -1 : REAL(stat64)(path, facts); }
int lstat(const char *path, struct stat *facts) { return fails("stat", path) ? -1 : REAL(lstat)(path, facts); }
int lstat64(const char *path, struct stat64 *facts) { return fails("stat", path) ? -1 : REAL(lstat64)(path, facts); }
int fstatat(int folder, const char *path, struct stat *facts, int flags) {
  return fails("stat", path) ? -1 : REAL(fstatat)(folder, path, facts, flags);
}
int fstatat64(int folder, const char *path, struct stat64 *facts, int flags) {
  return fails("stat", path) ? -1 : REAL(fstatat64)(folder, path, facts, flags);
}
int statx(int folder, const char *path, int flags, unsigned mask, struct statx *facts) {
  return fails("stat", path) ? -1 : REAL(statx)(folder, path, flags, mask, facts);
}
