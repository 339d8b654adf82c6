/* sudo.c: as much of sudo as the documents use: `sudo [-u USER] [NAME=VALUE…] COMMAND…`, for ann in the throw-away host and nobody else.
 * Set-uid inside that host's own file system only. */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
        const char *name = "root";
        int i = 1;

        if (i + 1 < argc && strcmp(argv[i], "-u") == 0) {
                name = argv[i + 1];
                i += 2;
        }
        const struct passwd *pw = getpwnam(name);
        if (i >= argc || argv[i][0] == '-' || !pw) {
                fprintf(stderr, "usage: sudo [-u USER] [NAME=VALUE...] COMMAND...\n");
                return 1;
        }
        if (initgroups(pw->pw_name, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0) {
                perror("sudo");
                return 1;
        }
        clearenv();
        setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
        setenv("HOME", pw->pw_dir, 1);
        setenv("USER", pw->pw_name, 1);
        setenv("LANG", "C.UTF-8", 1);
        for (; i < argc && strchr(argv[i], '=') && !strchr(argv[i], '/'); i++)
                putenv(argv[i]);
        if (i >= argc)
                return 1;
        execvp(argv[i], argv + i);
        perror(argv[i]);
        return 127;
}
