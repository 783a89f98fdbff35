#!/bin/sh
# Makes sure that there is a Vulkan loader and a driver, and a virtual display for the tests of the window. Installs
# Mesa's software driver where no driver is found.
set -eu

missing=""
icd="$(find /usr/share/vulkan/icd.d /etc/vulkan/icd.d "$HOME/.local/share/vulkan/icd.d" -name '*.json' 2>/dev/null | head -n 1 || true)"
loader="$(ldconfig -p 2>/dev/null | grep -c 'libvulkan\.so\.1' || true)"
if [ "$(uname -s)" = Linux ]; then
    [ "${loader:-0}" -gt 0 ] || missing="$missing libvulkan1"
    [ -n "$icd" ] || [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] || missing="$missing mesa-vulkan-drivers"
    command -v Xvfb >/dev/null 2>&1 || missing="$missing xvfb"
fi
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "missing:$missing (names of Debian packages); install them with your system's package manager" >&2
    exit 1
fi
echo "installing:$missing"
as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo"
$as_root apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq $missing >/dev/null
