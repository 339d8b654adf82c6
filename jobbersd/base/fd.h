/* fd.h: descriptors: closing, whole reads and writes, passing them over sockets. Everything is O_CLOEXEC at birth. */
#pragma once

#include <dirent.h>
#include <sys/socket.h>

#include "base/macro.h"

int fd_close(int fd);                   /* close if >= 0, keeps errno; returns -1 so that `fd = fd_close(fd)` works */
void fd_close_p(int *fd);
#define _cleanup_close_ _cleanup_(fd_close_p)

/* Reads to the end, at most `max` bytes: -EFBIG when there are more. *ret is NUL-terminated, freed by the caller. */
int fd_read_all(int fd, size_t max, char **ret, size_t *ret_len);
/* The same for a path below a directory; O_NOFOLLOW, regular files only (else -EINVAL). */
int fd_read_file_at(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_len);
int fd_write_all(int fd, const void *data, size_t n);
/* Writes a small file atomically (temporary name that begins with FD_TEMPORARY, rename); `sync` also makes file and directory durable. */
#define FD_TEMPORARY ".new-"
int fd_write_file_at(int dir_fd, const char *path, const void *data, size_t n, mode_t mode, bool sync);
/* Is there a path below a directory? False with errno. */
bool fd_exists_at(int dir_fd, const char *path);
/* Opens one entry of a directory that a stranger may write in: no link is followed (-ELOOP, or -ENOTDIR with O_DIRECTORY), and nothing that is mounted
 * there is asked (-EXDEV), since whoever serves a file system answers when he likes. O_CLOEXEC is added. -errno. */
int fd_open_entry_at(int dir_fd, const char *name, int flags);
/* mkdir -p. Existing directories are left as they are. */
int fd_mkdirs(const char *path, mode_t mode);
/* The entries of an open directory, read through a descriptor of its own; NULL with errno. For closedir(). */
DIR *fd_list(int dir_fd);
/* Removes name (one component) and everything below it without following links, leaving the mount or trusting the owner;
 * no entry is 0. Goes on after an error, which is returned if something is left. */
int fd_remove_tree_at(int dir_fd, const char *name);

/* One datagram with up to FD_PASS_MAX descriptors. Sending keeps them, receiving gives them (CLOEXEC). Flags as sendmsg/recvmsg;
 * MSG_NOSIGNAL is added. Receive returns the length, 0 at the end of the stream, -errno; *n_fds is what came (excess closed);
 * a datagram longer than n is -EMSGSIZE, and lost. */
#define FD_PASS_MAX 4
int fd_send(int sock, const void *data, size_t n, const int *fds, size_t n_fds, int flags);
ssize_t fd_recv(int sock, void *data, size_t n, int fds[static FD_PASS_MAX], size_t *n_fds, int flags);

/* bind() or connect() an AF_UNIX socket to a path of any length (through /proc/self/fd of its directory). */
int fd_bind_unix(int sock, const char *path);
int fd_connect_unix(int sock, const char *path);
