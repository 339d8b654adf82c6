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

prefix      ?= /usr
sbindir     ?= $(prefix)/sbin
bindir      ?= $(prefix)/bin
libexecdir  ?= $(prefix)/libexec
mandir      ?= $(prefix)/share/man
unitdir     ?= /usr/lib/systemd/system
userunitdir ?= /usr/lib/systemd/user
sysusersdir ?= /usr/lib/sysusers.d
tmpfilesdir ?= /usr/lib/tmpfiles.d
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

all: $(B)/jobbersd $(B)/jobbers-run $(B)/jobbersctl

# ── groups ──
define group
SRC_$(1) := $$(wildcard jobbersd/$(1)/*.c)
OBJ_$(1) := $$(SRC_$(1):%.c=$(B)/%.o)
$(B)/$(1).a: $$(OBJ_$(1))
	@rm -f $$@
	$$(AR) rcs $$@ $$(OBJ_$(1))
endef
$(foreach g,$(GROUPS),$(eval $(call group,$(g))))

# The archives of a group and of all below it, highest first, as the linker wants them; and their libraries.
upto     = $(if $(filter $(1),$(firstword $(2))),$(1),$(firstword $(2)) $(call upto,$(1),$(wordlist 2,99,$(2))))
reverse  = $(if $(1),$(call reverse,$(wordlist 2,99,$(1))) $(firstword $(1)))
archives = $(patsubst %,$(B)/%.a,$(call reverse,$(call upto,$(1),$(GROUPS))))
libs     = $(foreach g,$(call reverse,$(call upto,$(1),$(GROUPS))),$(LIBS_$(g)))

OBJ_jobbersd := $(patsubst %.c,$(B)/%.o,$(wildcard jobbersd/*.c))
OBJ_run      := $(patsubst %.c,$(B)/%.o,$(wildcard jobbers-run/*.c))

$(B)/jobbersd: $(OBJ_jobbersd) $(call archives,http)
	$(CC) $(CFLAGS) $(LDOURS) $(LDFLAGS) -o $@ $^ $(call libs,http)

$(B)/jobbers-run: $(OBJ_run) $(call archives,model)
	$(CC) $(CFLAGS) $(LDOURS) $(LDFLAGS) -o $@ $^ $(call libs,model)

OBJ_ctl      := $(patsubst %.c,$(B)/%.o,$(wildcard jobbersctl/*.c))

$(B)/jobbersctl: $(OBJ_ctl) $(call archives,model)
	$(CC) $(CFLAGS) $(LDOURS) $(LDFLAGS) -o $@ $^ $(call libs,model) -lcurl

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(OURFLAGS) $(WARN) $(CPPFLAGS) -MMD -MP -c -o $@ $<

# ── SQL as C strings ──
SQL := $(wildcard sql/sqlite/*.sql)
$(B)/gen/schema.inc: $(SQL) Makefile
	@mkdir -p $(@D)
	for f in $(SQL); do printf '{ "%s",\n' "$$(basename $$f)"; sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $$f; printf '},\n'; done > $@.new && mv $@.new $@
$(B)/jobbersd/store/%.o: OURFLAGS += -Isql
$(OBJ_store): | $(B)/gen/schema.inc

# ── unit tests: tests/unit/GROUP/test-*.c links that group and all below ──
define unittests
TESTS_$(1) := $$(patsubst tests/unit/$(1)/%.c,$(B)/tests/$(1)/%,$$(wildcard tests/unit/$(1)/test-*.c))
$(B)/tests/$(1)/%: tests/unit/$(1)/%.c $(call archives,$(1))
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS) $$(OURFLAGS) $$(WARN) $$(CPPFLAGS) -MMD -MP $$(LDOURS) -o $$@ $$< $(call archives,$(1)) $(call libs,$(1)) -lcmocka
endef
$(foreach g,$(GROUPS),$(eval $(call unittests,$(g))))
# jobbers-run's own: everything of it but main.c
TESTS_run := $(patsubst tests/unit/run/%.c,$(B)/tests/run/%,$(wildcard tests/unit/run/test-*.c))
$(B)/tests/run/%: tests/unit/run/%.c $(filter-out $(B)/jobbers-run/main.o,$(OBJ_run)) $(call archives,model)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(OURFLAGS) $(WARN) $(CPPFLAGS) -MMD -MP $(LDOURS) -o $@ $< $(filter-out $(B)/jobbers-run/main.o,$(OBJ_run)) $(call archives,model) $(call libs,model) -lcmocka
UNIT_TESTS = $(foreach g,$(GROUPS) run,$(TESTS_$(g)))

check-unit: $(UNIT_TESTS)
	@tests/unit/run-all $(UNIT_TESTS)

clean:
	rm -rf build build-san build-cov

.PHONY: all check-unit clean
.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
