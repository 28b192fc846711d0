// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Stand-ins for the libraries through which Debian's xenstored reaches Xen, so that the daemon
 * itself runs unmodified on any Linux. For tests only. Written from the functions' signatures in
 * Xen's public headers (xenevtchn.h, xengnttab.h, xenctrl.h).
 *
 * A domain is made of files in $XENSTORED_RUNDIR:
 *   dom<N>.ring    4096 bytes, its xenstore ring page; while the file is there, N exists
 *   dom<N>.kick    a FIFO, one byte for each event the daemon sends to N
 *   evtchn         a FIFO, 32-bit port numbers, each an event for the daemon:
 *                  1 says that some domain died, 16 + N comes from domain N
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RING_BYTES 4096
#define PORT_DOMAIN_DIED 1
#define PORT_OF_DOMAIN_0 16
#define MAX_DOMAINS 32768

/* The daemon wants handles that are not NULL; there is nothing to keep in them. */
static char handle;
static int event_fd = -1;
static int kick_fd[MAX_DOMAINS]; /* one more than the descriptor, 0 while there is none */

static int open_path(const char *path, int flags, mode_t mode)
{
    return syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, mode);
}

static int open_in_rundir(int flags, const char *format, unsigned int domid)
{
    const char *rundir = getenv("XENSTORED_RUNDIR");
    char name[32], path[PATH_MAX];

    snprintf(name, sizeof(name), format, domid);
    if (!rundir || snprintf(path, sizeof(path), "%s/%s", rundir, name) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open_path(path, flags, 0600);
}

static int open_ring(uint32_t domid)
{
    return open_in_rundir(O_RDWR, "dom%u.ring", domid);
}

static int domain_exists(uint32_t domid)
{
    int fd = open_ring(domid);

    if (fd < 0)
        return domid == 0;
    close(fd);
    return 1;
}

/*
 * The daemon also reads two files of a dom0 kernel by fixed names: its own event channel port,
 * and the ring page it shares with that kernel. This open() is found before the C library's.
 */
int open(const char *path, int flags, ...)
{
    mode_t mode = 0;

    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list args;

        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    if (!strcmp(path, "/proc/xen/xsd_port")) {
        int fd = syscall(SYS_memfd_create, "xsd_port", 0);

        if (fd >= 0 && (write(fd, "2", 1) != 1 || lseek(fd, 0, SEEK_SET) < 0))
            return -1;
        return fd;
    }
    if (!strcmp(path, "/proc/xen/xsd_kva")) {
        int fd = open_in_rundir(O_RDWR | O_CREAT, "dom%u.ring", 0);

        if (fd >= 0 && ftruncate(fd, RING_BYTES))
            return -1;
        return fd;
    }
    return open_path(path, flags, mode);
}

/* Event channels. */

void *xenevtchn_open(void *logger, unsigned int flags)
{
    (void)logger, (void)flags;
    event_fd = open_in_rundir(O_RDWR, "evtchn", 0);
    return event_fd < 0 ? NULL : &handle;
}

void *xenevtchn_fdopen(void *logger, int fd, unsigned int flags)
{
    (void)logger, (void)flags;
    event_fd = fd;
    return &handle;
}

int xenevtchn_fd(void *xce)
{
    (void)xce;
    return event_fd;
}

int xenevtchn_bind_virq(void *xce, unsigned int virq)
{
    (void)xce, (void)virq;
    return PORT_DOMAIN_DIED;
}

int xenevtchn_bind_interdomain(void *xce, uint32_t domid, uint32_t port)
{
    (void)xce, (void)port;
    if (domid >= MAX_DOMAINS) {
        errno = EINVAL;
        return -1;
    }
    if (domid && !kick_fd[domid])
        kick_fd[domid] = open_in_rundir(O_RDWR | O_NONBLOCK, "dom%u.kick", domid) + 1;
    return domid && !kick_fd[domid] ? -1 : PORT_OF_DOMAIN_0 + (int)domid;
}

int xenevtchn_unbind(void *xce, uint32_t port)
{
    uint32_t domid = port - PORT_OF_DOMAIN_0;

    (void)xce;
    if (domid < MAX_DOMAINS && kick_fd[domid]) {
        close(kick_fd[domid] - 1);
        kick_fd[domid] = 0;
    }
    return 0;
}

int xenevtchn_notify(void *xce, uint32_t port)
{
    uint32_t domid = port - PORT_OF_DOMAIN_0;

    (void)xce;
    if (domid >= MAX_DOMAINS || !kick_fd[domid])
        return 0;
    return write(kick_fd[domid] - 1, "", 1) < 0 && errno != EAGAIN ? -1 : 0;
}

int xenevtchn_pending(void *xce)
{
    uint32_t port;

    (void)xce;
    return read(event_fd, &port, sizeof(port)) == sizeof(port) ? (int)port : -1;
}

int xenevtchn_unmask(void *xce, uint32_t port)
{
    (void)xce, (void)port;
    return 0;
}

/* Ring pages. */

void *xengnttab_open(void *logger, unsigned int flags)
{
    (void)logger, (void)flags;
    return &handle;
}

int xengnttab_close(void *xgt)
{
    (void)xgt;
    return 0;
}

int xengnttab_set_max_grants(void *xgt, uint32_t count)
{
    (void)xgt, (void)count;
    return 0;
}

void *xengnttab_map_grant_ref(void *xgt, uint32_t domid, uint32_t ref, int protection)
{
    int fd = open_ring(domid);
    void *page;

    (void)xgt, (void)ref;
    if (fd < 0)
        return NULL;
    page = mmap(NULL, RING_BYTES, protection, MAP_SHARED, fd, 0);
    close(fd);
    return page == MAP_FAILED ? NULL : page;
}

int xengnttab_unmap(void *xgt, void *start, uint32_t count)
{
    (void)xgt;
    return munmap(start, (size_t)count * RING_BYTES);
}

/* The hypervisor's view of domains. */

struct domain_info { /* the beginning of xc_dominfo_t */
    uint32_t domid;
    uint32_t ssidref;
    uint32_t flags;
};

void *xc_interface_open(void *logger, void *dombuild_logger, unsigned int flags)
{
    (void)logger, (void)dombuild_logger, (void)flags;
    return &handle;
}

int xc_interface_close(void *xch)
{
    (void)xch;
    return 0;
}

/* Up to Xen 4.17. */
int xc_domain_getinfo(void *xch, uint32_t first, unsigned int count, struct domain_info *info)
{
    (void)xch, (void)count;
    if (!domain_exists(first))
        return 0;
    *info = (struct domain_info){.domid = first};
    return 1;
}

/* From Xen 4.18 on; the structure begins with a 16-bit domid, padding and 32 bits of flags. */
int xc_domain_getinfo_single(void *xch, uint32_t domid, uint16_t *info)
{
    (void)xch;
    if (!domain_exists(domid))
        return -ESRCH;
    if (info) {
        memset(info, 0, 8);
        info[0] = domid;
    }
    return 0;
}
