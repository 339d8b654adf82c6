# install.mk: manual pages, install, the Debian package. Included by the Makefile.

# ── manual pages: the tables of settings and of definition keys are printed by the code that reads them ──
MAN := $(patsubst packaging/man/%.in,$(B)/man/%,$(wildcard packaging/man/*.in))
man: $(MAN)
MAN_DATE := $(shell date -u -d "$$(sed -n 's/^ -- .*>  //p' packaging/debian/changelog | head -n 1)" +%Y-%m-%d)
$(B)/man-tables: packaging/man/tables.c jobbersctl/verbs.def $(call archives,model)
	$(SAY) LD $@
	$(Q)$(CC) $(CFLAGS) $(OURFLAGS) $(WARN) $(CPPFLAGS) $(LDOURS) -o $@ $< $(call archives,model) $(call libs,model)
$(B)/man/%: packaging/man/%.in $(B)/man-tables Makefile
	@mkdir -p $(@D)
	$(SAY) MAN $@
	$(Q)$(B)/man-tables $(VERSION) $(MAN_DATE) <$< >$@.new && mv $@.new $@

# ── completions: jobbersctl's verbs and options come from its own table ──
COMPLETIONS := $(patsubst packaging/completions/%.in,$(B)/completions/%,$(wildcard packaging/completions/*.in))
$(B)/completion-tables: packaging/completions/tables.c jobbersctl/verbs.def
	$(SAY) LD $@
	$(Q)$(CC) $(CFLAGS) $(OURFLAGS) $(WARN) $(CPPFLAGS) $(LDOURS) -o $@ $<
$(B)/completions/%: packaging/completions/%.in packaging/completions/values.sh $(B)/completion-tables
	@mkdir -p $(@D)
	$(SAY) SH $@
	$(Q)$(B)/completion-tables packaging/completions/values.sh <$< >$@.new && mv $@.new $@

# ── install ──
INSTALL_PROGRAM := install -D -m 0755 -t
INSTALL_DATA    := install -D -m 0644 -t
# Units name the default paths; a different prefix changes them.
define install_units
	for u in $(1); do sed -e 's|/usr/sbin/|$(sbindir)/|' -e 's|/usr/bin/|$(bindir)/|' $$u | install -D -m 0644 /dev/stdin $(DESTDIR)$(2)/$$(basename $$u); done
endef
EXAMPLES := generate_report bulk_import send_email

##: install under DESTDIR and prefix; without DESTDIR also the users, the directories and the token
install: install-programs install-library install-python
ifeq ($(DESTDIR),)
	packaging/setup
	ldconfig
endif

install-programs: all $(COMPLETIONS)
	$(INSTALL_PROGRAM) $(DESTDIR)$(sbindir) $(B)/jobbersd
	$(INSTALL_PROGRAM) $(DESTDIR)$(bindir) $(filter-out %/jobbersd,$(PROGRAMS))
	$(call install_units,$(wildcard units/*.service units/*.socket units/*.slice),$(unitdir))
	$(call install_units,$(wildcard units/user/*),$(userunitdir))
	install -D -m 0644 units/jobbers.sysusers $(DESTDIR)$(sysusersdir)/jobbers.conf
	install -D -m 0644 units/jobbers.tmpfiles $(DESTDIR)$(tmpfilesdir)/jobbers.conf
	for c in $(wildcard units/*.catalog); do $(INSTALL_DATA) $(DESTDIR)$(catalogdir) $$c; done
	for m in $(MAN); do $(INSTALL_DATA) $(DESTDIR)$(mandir)/man$${m##*.} $$m; done
	for c in $(basename $(notdir $(filter %.bash,$(COMPLETIONS)))); do \
	  install -D -m 0644 $(B)/completions/$$c.bash $(DESTDIR)$(prefix)/share/bash-completion/completions/$$c; done
	$(INSTALL_DATA) $(DESTDIR)$(prefix)/share/zsh/vendor-completions $(filter-out %.bash,$(COMPLETIONS))
	install -d $(DESTDIR)$(sysconfdir)/jobbers/tasks.d $(DESTDIR)$(prefix)/lib/jobbers/tasks.d $(DESTDIR)/usr/libexec/jobbers

install-library: $(LIBRARY)
	install -D -m 0644 $(B)/libjobbers.so.0 $(DESTDIR)$(libdir)/libjobbers.so.$(VERSION)
	ln -sf libjobbers.so.$(VERSION) $(DESTDIR)$(libdir)/libjobbers.so.0
	ln -sf libjobbers.so.0 $(DESTDIR)$(libdir)/libjobbers.so
	$(INSTALL_DATA) $(DESTDIR)$(includedir) libjobbers/jobbers.h
	sed -e 's|@prefix@|$(prefix)|' -e 's|@includedir@|$(includedir)|' -e 's|@libdir@|$(libdir)|' -e 's|@VERSION@|$(VERSION)|' \
	  libjobbers/libjobbers.pc.in | install -D -m 0644 /dev/stdin $(DESTDIR)$(libdir)/pkgconfig/libjobbers.pc

install-python:
	$(INSTALL_DATA) $(DESTDIR)$(pythondir) python/jobbers.py

##: the example tasks, registered for every queue (a package of its own)
install-examples:
	$(INSTALL_PROGRAM) $(DESTDIR)/usr/libexec/jobbers $(EXAMPLES:%=examples/%)
	$(INSTALL_DATA) $(DESTDIR)/usr/libexec/jobbers examples/jobbers_task.py
	$(INSTALL_DATA) $(DESTDIR)$(prefix)/lib/jobbers/tasks.d $(EXAMPLES:%=examples/%.task)

##: remove what install put there; state and token stay
uninstall:
	rm -f $(DESTDIR)$(sbindir)/jobbersd $(DESTDIR)$(bindir)/jobbers-run $(DESTDIR)$(bindir)/jobbersctl $(DESTDIR)$(bindir)/jobbers-task
	rm -f $(DESTDIR)$(libdir)/libjobbers.so* $(DESTDIR)$(includedir)/jobbers.h $(DESTDIR)$(libdir)/pkgconfig/libjobbers.pc
	rm -f $(DESTDIR)$(pythondir)/jobbers.py
	rm -f $(patsubst units/%,$(DESTDIR)$(unitdir)/%,$(wildcard units/*.service units/*.socket units/*.slice))
	rm -f $(patsubst units/user/%,$(DESTDIR)$(userunitdir)/%,$(wildcard units/user/*))
	rm -f $(DESTDIR)$(sysusersdir)/jobbers.conf $(DESTDIR)$(tmpfilesdir)/jobbers.conf $(patsubst units/%,$(DESTDIR)$(catalogdir)/%,$(wildcard units/*.catalog))
	rm -f $(foreach m,$(notdir $(MAN)),$(DESTDIR)$(mandir)/man$(lastword $(subst ., ,$(m)))/$(m))
	rm -f $(patsubst %.bash,$(DESTDIR)$(prefix)/share/bash-completion/completions/%,$(notdir $(filter %.bash,$(COMPLETIONS))))
	rm -f $(patsubst %,$(DESTDIR)$(prefix)/share/zsh/vendor-completions/%,$(notdir $(filter-out %.bash,$(COMPLETIONS))))
	rm -f $(EXAMPLES:%=$(DESTDIR)/usr/libexec/jobbers/%) $(DESTDIR)/usr/libexec/jobbers/jobbers_task.py $(EXAMPLES:%=$(DESTDIR)$(prefix)/lib/jobbers/tasks.d/%.task)

##: the Debian packages, in build/
deb:
	@packaging/build-deb $(VERSION)

.PHONY: install install-programs install-library install-python install-examples uninstall deb
