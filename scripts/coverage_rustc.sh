#!/bin/sh
# rustc with libFuzzer's counters and with arithmetic that checks itself: the RUSTC_WORKSPACE_WRAPPER of scripts/fuzz.sh. Only
# crates of this package pass through it, so that the others are those of any release build.
case " $* " in
*" --crate-name "*)
    exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares -Coverflow-checks=on -Cdebug-assertions=on
    ;;
*) exec "$@" ;;
esac
