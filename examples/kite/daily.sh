#!/bin/sh
# The daily run, by exit code. Waits and tries again while the venue or the database is down (5) or something is still
# missing (3); gives up at once where a person is needed. Leaves with everybar's own code.
set -u
tries=${EVERYBAR_TRIES:-4}
wait=${EVERYBAR_WAIT_SECONDS:-600}
code=0
for try in $(seq 1 "$tries"); do
  everybar instruments sync kite && everybar sync
  code=$?
  case $code in
    0) exit 0 ;;
    3 | 5) echo "daily: exit code $code, try $try of $tries" >&2 ;;
    12) echo "daily: the login has ended: run everybar kite login, then this again" >&2; exit 12 ;;
    *) echo "daily: exit code $code" >&2; exit "$code" ;;
  esac
  [ "$try" -lt "$tries" ] && sleep "$wait"
done
exit "$code"
