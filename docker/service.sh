#!/bin/sh
# Runs `lrsearch ARGUMENTS` as a container's service, under Docker's `restart: unless-stopped`, which alone brings a service
# back after a reboot, and which starts whatever ended again, however it ended.
#
# What another start would not mend (1: the study is broken, 2: a wrong argument, 4: the study refuses) and what is done (0)
# waits here to be stopped. Anything else, such as 3 (the database is away) or a kill, leaves with its code and is restarted.
# SIGTERM goes to lrsearch, which puts its trials back; its own code is the container's.

child= stopped=
stop() {
    stopped=yes
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
}
trap stop TERM INT

lrsearch "$@" &
child=$!
[ -z "$stopped" ] || stop # it came before there was anybody to tell
wait "$child"
code=$?
while kill -0 "$child" 2>/dev/null; do # a signal ends `wait` before its time
    wait "$child"
    code=$?
done

trap 'kill "$child" 2>/dev/null; exit 0' TERM INT
case "$stopped$code" in
0 | 1 | 2 | 4)
    echo "lrsearch left with $code; this container waits. Once it has something to do: docker compose restart SERVICE" >&2
    sleep infinity &
    child=$!
    wait "$child"
    ;;
*)
    exit "$code"
    ;;
esac
