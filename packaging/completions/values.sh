# Values that only the daemon knows, one a line; a daemon that does not answer within two seconds has none to offer.
# `program` and the array `connection` (which daemon) are the caller's.
_jobbersctl_ask() {
        timeout 2 "$program" --no-legend --no-pager "${connection[@]}" "$@" 2>/dev/null
}

# What a daemon or a file says becomes part of a command line, and bash's `compgen -W` would execute a $(…) in it at once: only lines of harmless
# characters pass, which all names are that jobbers accepts.
_jobbersctl_harmless() {
        LC_ALL=C grep -x '[A-Za-z0-9_.:=@/+,-][A-Za-z0-9_.:=@/+, -]*'
}

# Without a daemon, what the definition files say: "NAME".
_jobbersctl_names_in_files() {
        local d
        for d in "$@" "${XDG_CONFIG_HOME:-$HOME/.config}/jobbers/tasks.d" /etc/jobbers/tasks.d /run/jobbers/tasks.d /usr/local/lib/jobbers/tasks.d \
                /usr/lib/jobbers/tasks.d; do
                [ -d "$d" ] && find "$d" -maxdepth 1 -name '*.task' -exec sed -n 's/^Name= *//p' {} + 2>/dev/null
        done | sort -u | _jobbersctl_harmless
}

# Parameters of a task without a daemon: "name type".
_jobbersctl_parameters_in_files() {
        local name=$1 d
        shift
        for d in "$@" "${XDG_CONFIG_HOME:-$HOME/.config}/jobbers/tasks.d" /etc/jobbers/tasks.d /run/jobbers/tasks.d /usr/local/lib/jobbers/tasks.d \
                /usr/lib/jobbers/tasks.d; do
                [ -d "$d" ] && find "$d" -maxdepth 1 -name '*.task' -exec awk -v name="$name" '
                        FNR == 1 { section = ""; ours = 0 }
                        /^\[/ { section = $0 }
                        section == "[Task]" && /^Name=/ { ours = substr($0, 6) == name }
                        section == "[Parameters]" && ours && /^[A-Za-z0-9_.-]+ *=/ { split($0, a, / *= */); sub(/,.*/, "", a[2]); print a[1], a[2] }' {} + 2>/dev/null
        done | sort -u
}

# KIND [WHAT]: for IDs "id what it is", for KEYs of the task WHAT "name type", else single words.
_jobbersctl_values() {
        case $1 in
        NAME) _jobbersctl_ask tasks | sed 's/ .*//' | sort -u | _jobbersctl_harmless || _jobbersctl_names_in_files ;;
        QUEUE) _jobbersctl_ask queues | sed 's/ .*//' | _jobbersctl_harmless ;;
        ROLE) _jobbersctl_ask roles | sed 's/ .*//' | _jobbersctl_harmless ;;
        ID)
                case $2 in
                cancel | wait) _jobbersctl_ask list --limit=200 ;;
                dlq) _jobbersctl_ask dlq --limit=200 ;;
                *) _jobbersctl_ask list --all --limit=200 ;;
                esac | sed 's/^\([^ ]*\)  *\([^ ]*\)  *\([^ ]*\)  *\([^ ]*\).*/\1 \2 \4/' | _jobbersctl_harmless ;;
        KEY) _jobbersctl_ask tasks --json=short "$2" | sed -n 's/.*"parameters":\[\([^]]*\)\].*/\1/p' |
                grep -o '"name":"[^"]*","type":"[^"]*"' | sed 's/"name":"\([^"]*\)","type":"\([^"]*\)"/\1 \2/' |
                _jobbersctl_harmless ;;
        STATE) printf '%s\n' submitted scheduled started completed failed cancelled stalled dropped ;;
        MODE) printf '%s\n' pretty short off ;;
        esac
}

# A key with what follows it: "=" and, for what only JSON can say, ":=".
_jobbersctl_keys() {
        local key type
        while read -r key type; do
                case $key,$type in
                ,*) ;;
                *,object | *,array) echo "$key:=" ;;
                *) echo "$key=" ;;
                esac
        done
}
