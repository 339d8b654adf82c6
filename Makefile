# jobbers: one non-recursive Makefile. `make help` lists the targets.
#
# Flavours have a folder of their own:  make SAN=address,undefined | COV=1 | VALGRIND-ready is the default.
# Groups of jobbersd/, lowest first: a group may include only groups before it (tests/unit/check-layers checks).

VERSION := 0.1.0
GROUPS  := base model store launch dispatch http

B := build
ifdef SAN
B := build-san
endif
ifdef COV
B := build-cov
endif

ifdef FUZZ
B := build-fuzz
CC := clang
SAN := address,undefined,fuzzer-no-link
endif

prefix      ?= /usr
sbindir     ?= $(prefix)/sbin
bindir      ?= $(prefix)/bin
libdir      ?= $(prefix)/lib
includedir  ?= $(prefix)/include
pythondir   ?= $(prefix)/lib/python3/dist-packages
libexecdir  ?= $(prefix)/libexec
mandir      ?= $(prefix)/share/man
unitdir     ?= /usr/lib/systemd/system
userunitdir ?= /usr/lib/systemd/user
sysusersdir ?= /usr/lib/sysusers.d
tmpfilesdir ?= /usr/lib/tmpfiles.d
catalogdir  ?= /usr/lib/systemd/catalog
sysconfdir  ?= /etc

CC      ?= gcc
CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wno-unused-parameter -Wno-missing-field-initializers
ifneq ($(CI)$(WERROR),)
WARN += -Werror
endif
OURFLAGS := -std=gnu17 -D_GNU_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE -Ijobbersd -I. -I$(B)/gen \
            -DJOBBERS_VERSION='"$(VERSION)"' -DJOBBERS_BINDIR='"$(bindir)"' -DJOBBERS_SYSCONFDIR='"$(sysconfdir)"'
LDOURS   := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
ifdef SAN
OURFLAGS += -U_FORTIFY_SOURCE -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
LDOURS   += -fsanitize=$(SAN)
endif
ifdef COV
OURFLAGS += -U_FORTIFY_SOURCE -O0 --coverage -DJOBBERS_COVERAGE
LDOURS   += --coverage
endif

LIBS_base     := -lsystemd
LIBS_model    := -ljansson
LIBS_store    := -lsqlite3
LIBS_http     := -lmicrohttpd
# In place of the C library's malloc: a submission is some forty small allocations of libraries. Sanitizers bring their own.
LIBS_malloc   := $(if $(SAN),,-lmimalloc)

PROGRAMS := $(B)/jobbersd $(B)/jobbers-run $(B)/jobbersctl $(B)/jobbers-task
LIBRARY  := $(B)/libjobbers.so
PYTHON   := /usr/bin/python3

# A line for each step; V=1 shows the commands.
ifdef V
SAY := @:
else
Q   := @
SAY := @printf '  %-4s %s\n'
endif

##: build the programs, the library and the manual pages
all: $(PROGRAMS) $(LIBRARY) man

# ── groups ──
define group
SRC_$(1) := $$(wildcard jobbersd/$(1)/*.c)
OBJ_$(1) := $$(SRC_$(1):%.c=$(B)/obj/%.o)
$(B)/$(1).a: $$(OBJ_$(1))
	@rm -f $$@
	$$(SAY) AR $$@
	$$(Q)$$(AR) rcs $$@ $$(OBJ_$(1))
endef
$(foreach g,$(GROUPS),$(eval $(call group,$(g))))

# The archives of a group and of all below it, highest first, as the linker wants them; and their libraries.
upto     = $(if $(filter $(1),$(firstword $(2))),$(1),$(firstword $(2)) $(call upto,$(1),$(wordlist 2,99,$(2))))
reverse  = $(if $(1),$(call reverse,$(wordlist 2,99,$(1))) $(firstword $(1)))
archives = $(patsubst %,$(B)/%.a,$(call reverse,$(call upto,$(1),$(GROUPS))))
libs     = $(foreach g,$(call reverse,$(call upto,$(1),$(GROUPS))),$(LIBS_$(g)))

OBJ_jobbersd := $(patsubst %.c,$(B)/obj/%.o,$(wildcard jobbersd/*.c))
OBJ_run      := $(patsubst %.c,$(B)/obj/%.o,$(wildcard jobbers-run/*.c))

$(B)/jobbersd: $(OBJ_jobbersd) $(call archives,http)
	$(SAY) LD $@
	$(Q)$(CC) $(CFLAGS) $(LDOURS) $(LDFLAGS) -o $@ $^ $(LIBS_malloc) $(call libs,http)

$(B)/jobbers-run: $(OBJ_run) $(call archives,model)
	$(SAY) LD $@
	$(Q)$(CC) $(CFLAGS) $(LDOURS) $(LDFLAGS) -o $@ $^ $(call libs,model)

# Without libcurl, which it loads when --host= asks for it (jobbersctl/transport.h).
OBJ_ctl      := $(patsubst %.c,$(B)/obj/%.o,$(wildcard jobbersctl/*.c) libjobbers/curl.c)

$(B)/jobbersctl: $(OBJ_ctl) $(call archives,model)
	$(SAY) LD $@
	$(Q)$(CC) $(CFLAGS) $(LDOURS) $(LDFLAGS) -o $@ $^ $(call libs,model)

# ── libjobbers: with the few files of base and model that it needs; libcurl is loaded by it when needed (libjobbers/curl.h) ──
OBJ_lib := $(patsubst %.c,$(B)/pic/%.o,$(wildcard libjobbers/*.c) $(addprefix jobbersd/base/,str.c parse.c clock.c fd.c fd-socket.c ulid.c) \
                                       $(addprefix jobbersd/model/,json-dump.c result.c utf8.c))
$(B)/libjobbers.so.0: $(OBJ_lib) libjobbers/libjobbers.map
	$(SAY) LD $@
	$(Q)$(CC) $(CFLAGS) $(filter-out -pie,$(LDOURS)) $(LDFLAGS) -shared -Wl,-z,defs -Wl,-soname,libjobbers.so.0 \
	  -Wl,--version-script=libjobbers/libjobbers.map -o $@ $(OBJ_lib) -ljansson
$(B)/libjobbers.so: $(B)/libjobbers.so.0
	$(Q)ln -sf libjobbers.so.0 $@
# What a shell says: the task's half of the library as a program, with its files linked in.
$(B)/jobbers-task: $(patsubst %,$(B)/obj/%.o,jobbers-task/main libjobbers/task libjobbers/notify libjobbers/json) $(call archives,model)
	$(SAY) LD $@
	$(Q)$(CC) $(CFLAGS) $(LDOURS) $(LDFLAGS) -o $@ $^ $(call libs,model)
$(B)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(CFLAGS) $(OURFLAGS) -fPIC $(WARN) $(CPPFLAGS) -MMD -MP -c -o $@ $<

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(CFLAGS) $(OURFLAGS) $(WARN) $(CPPFLAGS) -MMD -MP -c -o $@ $<

# ── SQL as C strings ──
SQL := $(wildcard sql/sqlite/*.sql)
$(B)/gen/schema.inc: $(SQL) Makefile
	@mkdir -p $(@D)
	$(SAY) SQL $@
	$(Q)for f in $(SQL); do printf '{ "%s",\n' "$$(basename $$f)"; sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $$f; printf '},\n'; done > $@.new && mv $@.new $@
$(B)/obj/jobbersd/store/%.o: OURFLAGS += -Isql
$(OBJ_store): | $(B)/gen/schema.inc

# ── unit tests: tests/unit/GROUP/test-*.c links that group and all below ──
define unittests
TESTS_$(1) := $$(patsubst tests/unit/$(1)/%.c,$(B)/tests/$(1)/%,$$(wildcard tests/unit/$(1)/test-*.c))
$(B)/tests/$(1)/%: tests/unit/$(1)/%.c $(call archives,$(1))
	@mkdir -p $$(@D)
	$$(SAY) LD $$@
	$$(Q)$$(CC) $$(CFLAGS) $$(OURFLAGS) $$(WARN) $$(CPPFLAGS) -MMD -MP $$(LDOURS) -o $$@ $$< $(call archives,$(1)) $(call libs,$(1)) -lcmocka
endef
$(foreach g,$(GROUPS),$(eval $(call unittests,$(g))))
# jobbers-run's own: everything of it but main.c
TESTS_run := $(patsubst tests/unit/run/%.c,$(B)/tests/run/%,$(wildcard tests/unit/run/test-*.c))
$(B)/tests/run/%: tests/unit/run/%.c $(filter-out $(B)/obj/jobbers-run/main.o,$(OBJ_run)) $(call archives,model)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) $(CFLAGS) $(OURFLAGS) $(WARN) $(CPPFLAGS) -MMD -MP $(LDOURS) -o $@ $< $(filter-out $(B)/obj/jobbers-run/main.o,$(OBJ_run)) $(call archives,model) $(call libs,model) -lcmocka
UNIT_TESTS = $(foreach g,$(GROUPS) run,$(TESTS_$(g)))

##: unit tests of every group
check-unit: $(UNIT_TESTS)
	@tests/unit/run-all $(UNIT_TESTS)

# ── the other tests: each suite ends with its counts, tests/check adds them up ──
PYTEST = JOBBERS_BUILD=$(abspath $(B)) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest -q -p no:cacheprovider $(PYTEST_ARGS)

##: what a group may include
check-layers:
	@tests/unit/check-layers
##: the running daemon, over HTTP
check-api: $(PROGRAMS)
	@$(PYTEST) tests/api
# Programs of the fault tests: plain ones, whatever the flavour, since what they watch is the rest.
FAULT_TOOLS := $(patsubst tests/fault/%.c,$(B)/tests/fault/%,$(wildcard tests/fault/*.c))
$(B)/tests/fault/%: tests/fault/%.c
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) -O2 -g -std=gnu17 -D_GNU_SOURCE $(WARN) -o $@ $< -lsystemd
##: jobbersctl, and what it looks like in a terminal
check-ctl: $(PROGRAMS)
	@$(PYTEST) tests/ctl
##: crashes, full disks, kill -9
check-fault: $(PROGRAMS) $(FAULT_TOOLS)
	@$(PYTEST) tests/fault
##: the same at length, for hours, and the seeded faults: N=100 shortens each campaign, WHAT="kill-daemon ..." chooses; figures go to $(B)/chaos-report
chaos: $(PROGRAMS) $(FAULT_TOOLS)
	@JOBBERS_BUILD=$(abspath $(B)) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/fault/chaos --report $(B)/chaos-report $(if $(N),-n $(N)) $(WHAT)
	$(if $(WHAT),,@tests/fault/seeded | tee -a $(B)/chaos-report)
# Fuzzed readers: replayed over their corpus by check-fuzz; `make FUZZ=1 fuzz-NAME` runs one for a minute under libFuzzer. Each links the
# group it reads for (model unless said) and what is below it; that of the launcher includes two of jobbers-run's files itself.
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz-%.c,%,$(wildcard tests/fuzz/fuzz-*.c))
FUZZERS := $(FUZZ_NAMES:%=$(B)/tests/fuzz/fuzz-%)
FUZZ_GROUP_http   := http
FUZZ_GROUP_schema := http
FUZZ_OBJ_notify   := $(B)/obj/jobbers-run/passed.o
FUZZ_OBJ_launcher := $(filter-out $(patsubst %,$(B)/obj/jobbers-run/%.o,main launcher launcher-start),$(OBJ_run))
define fuzzer
$(B)/tests/fuzz/fuzz-$(1): tests/fuzz/fuzz-$(1).c $(if $(FUZZ),,tests/fuzz/replay.c) $(FUZZ_OBJ_$(1)) $(call archives,$(or $(FUZZ_GROUP_$(1)),model))
	@mkdir -p $$(@D)
	$$(SAY) LD $$@
	$$(Q)$$(CC) $$(CFLAGS) $$(OURFLAGS) $$(WARN) $$(CPPFLAGS) -MMD -MP $$(LDOURS) $(if $(FUZZ),-fsanitize=fuzzer) -o $$@ $$< $(if $(FUZZ),,tests/fuzz/replay.c) $(FUZZ_OBJ_$(1)) $(call archives,$(or $(FUZZ_GROUP_$(1)),model)) $(call libs,$(or $(FUZZ_GROUP_$(1)),model))
endef
$(foreach f,$(FUZZ_NAMES),$(eval $(call fuzzer,$(f))))
##: the fuzzers' corpora, replayed
check-fuzz: $(FUZZERS)
	@tests/fuzz/replay-all $(FUZZERS)
fuzz-%: $(B)/tests/fuzz/fuzz-%
	@mkdir -p $(B)/corpus/$*
	$< -max_total_time=$(or $(SECONDS),60) -timeout=5 $(B)/corpus/$* tests/fuzz/corpus/$*
##: every fuzzer under libFuzzer for RUNS executions (100000)
fuzz-all:
	@$(MAKE) --no-print-directory FUZZ=1 fuzz-all-runs
fuzz-all-runs: $(FUZZERS)
	@tests/fuzz/run-all $(or $(RUNS),100000) $(FUZZERS)

##: the three example tasks
check-examples:
	@$(PYTEST) tests/examples

##: libjobbers, the Python module, jobbers-task and the completions, from an installed tree
check-lib: all
	@rm -rf $(B)/tree && $(MAKE) -s --no-print-directory install DESTDIR=$(abspath $(B))/tree >$(B)/tree.log 2>&1 || { cat $(B)/tree.log; false; }
	@JOBBERS_SAN=$(SAN) $(PYTEST) tests/lib

##: the manual pages, and every command of the documents
check-docs: all
	@$(PYTEST) tests/docs

##: everything that needs no VM; STRICT=1 turns skips into failures
check: $(PROGRAMS) $(UNIT_TESTS)
	@tests/check layers unit api ctl lib fault fuzz examples docs
##: the suites that need no VM, under ASan and UBSan
check-san:
	@$(MAKE) --no-print-directory SAN=address,undefined check-san-suites
check-san-suites: $(PROGRAMS) $(UNIT_TESTS)
	@tests/check unit api ctl lib fault fuzz examples
# SQLite keeps pointers into its blocks, which valgrind calls "possibly" lost: they are not counted.
##: unit tests under valgrind
check-valgrind: $(UNIT_TESTS)
	@UNDER="valgrind -q --leak-check=full --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect --error-exitcode=9" tests/unit/run-all $(UNIT_TESTS)
##: how many lines of jobbersd and jobbers-run the tests reach; fails below 90 %, and below 100 % of the life table and recovery
coverage:
	@packaging/deps build test coverage
	@$(MAKE) --no-print-directory COV=1 coverage-run
coverage-run: $(PROGRAMS) $(UNIT_TESTS)
	@tests/coverage $(B) $(or $(SUITES),unit api fault examples fuzz)
	@echo "$(B)/coverage.html"

# On a real systemd, in a virtual machine, from the package.
SYSTEMD_TESTS = packaging/deps build test package vm && $(MAKE) --no-print-directory deb && $(PYTEST) tests/systemd
##: the package in a booted Debian, the part that takes under ten minutes
check-systemd:
	@$(SYSTEMD_TESTS)
##: all of it: reboots, power cuts, thousands of tasks
check-systemd-full:
	@$(SYSTEMD_TESTS) --full
##: what the README promises: check, then check-systemd; one result at the end
test: $(PROGRAMS) $(UNIT_TESTS)
	@tests/check layers unit api ctl lib fault fuzz examples docs systemd
##: everything there is
check-full: $(PROGRAMS) $(UNIT_TESTS)
	@tests/check layers unit valgrind api ctl lib fault fuzz examples docs san systemd-full

##: packages for building and testing, and as root the system users
deps:
	@packaging/deps build test
##: a daemon with the three examples at work, in under a minute
demo: $(B)/jobbersd $(B)/jobbers-run
	@examples/demo $(B)

##: lay out the lines changed since BASE (HEAD) as .clang-format says; tables are left as they are drawn
format:
	git clang-format $(or $(BASE),HEAD) -- '*.c' '*.h'
##: clang-tidy over the source
tidy:
	clang-tidy --quiet $(or $(FILES),$(wildcard jobbersd/*.c jobbersd/*/*.c jobbers-run/*.c jobbersctl/*.c libjobbers/*.c jobbers-task/*.c)) -- $(OURFLAGS) -Isql

# ── benchmarks ──
BENCH_TOOLS := $(addprefix $(B)/bench/,raw-spawn nothing bare-http bare-store http-latency peer-beanstalk scope-client bench-store bench-request slow-flush.so)
$(B)/bench/bench-store: $(call archives,store)
$(B)/bench/bench-request: $(call archives,http)
# these two use what is inside a group: the unit tests see to it that they go on compiling
check-unit: $(B)/bench/bench-store $(B)/bench/bench-request
$(B)/bench/bench-%: bench/bench-%.c
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) $(CFLAGS) $(OURFLAGS) $(WARN) $(CPPFLAGS) $(LDOURS) -o $@ $< $(filter %.a,$^) $(call libs,http)
$(B)/bench/nothing: bench/nothing.c
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) -O2 -static -nostdlib -nostartfiles -fno-stack-protector -o $@ $<
$(B)/bench/%.so: bench/%.c
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) -O2 -std=gnu17 -D_GNU_SOURCE $(WARN) -fPIC -shared -o $@ $<
$(B)/bench/%: bench/%.c
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) -O2 -g -std=gnu17 -D_GNU_SOURCE $(WARN) -Wl,--as-needed -o $@ $< -lmicrohttpd -lsqlite3 -lsystemd
##: all figures beside their limits and peers, in one run; QUICK=1 in two minutes, WHAT="xargs latency" chooses, WRITE=1 for docs/PERFORMANCE.md
bench: $(PROGRAMS) $(BENCH_TOOLS)
	@JOBBERS_BUILD=$(abspath $(B)) PYTHONDONTWRITEBYTECODE=1 $(PYTHON) bench/run $(if $(QUICK),--quick) $(if $(WRITE),--write) $(if $(RUNS),--runs $(RUNS)) $(WHAT)

##: remove what was built
clean:
	rm -rf build build-san build-cov build-fuzz
##: this list
help:
	@awk '/^##: / { text = substr($$0, 5) } /^[a-z-]+:/ && text { sub(/:.*/, ""); printf "  %-16s %s\n", $$0, text; text = "" }' $(MAKEFILE_LIST)

include packaging/install.mk

.PHONY: bench all man chaos check check-unit check-layers check-api check-ctl check-lib check-docs check-fault check-fuzz check-examples check-san check-san-suites check-valgrind check-systemd check-systemd-full check-full test coverage coverage-run fuzz-all fuzz-all-runs deps demo format tidy clean help
.SECONDARY:
-include $(shell find $(B)/obj $(B)/pic $(B)/tests -type f -name '*.d' 2>/dev/null)
