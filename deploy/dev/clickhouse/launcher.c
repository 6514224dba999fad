/* Runs the ClickHouse engine of libchdb.so in a process of its own, which it insists on: it brings
 * its own allocator, and its destructors abort, hence _exit.
 *
 * usage: launcher LIBCHDB.SO OPTION... */
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

static int give_up(void) {
  fprintf(stderr, "cannot load clickhouse: %s\n", dlerror());
  return 127;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: %s LIBCHDB.SO OPTION...\n", argv[0]);
    return 2;
  }
  void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
  if (!library) return give_up();
  int (*run)(int, char **);
  *(void **)&run = dlsym(library, "chdb_query_cmdline");
  if (!run) return give_up();

  run(argc - 1, argv + 1); /* The result is a pointer, not a status: a server that returns has failed. */
  fflush(NULL);
  _exit(1);
}
