#!/usr/bin/env bash
# build-drivers.sh FOLDER: builds Mesa's drivers for Intel and Adreno, and the libraries that stand in for their kernel drivers,
# from Debian's source package of Mesa (MIT), into a folder for GPU_COMPILER_DRIVERS. Takes about 15 minutes on two cores, and
# root, to install what the build needs; on Debian 12 Mesa 25 comes from backports.
set -euo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export DEBIAN_FRONTEND=noninteractive
from=()
if grep -q bookworm /etc/os-release; then from=(-t bookworm-backports); fi
apt-get build-dep -y -qq "${from[@]}" mesa
apt-get install -y -qq libarchive-dev liblua5.4-dev
apt-get source --download-only "${from[@]}" mesa
tar xf mesa_*.orig.tar.*
cd mesa-*/
meson setup build --wrap-mode=nodownload -Dbuildtype=release -Db_ndebug=true \
  -Dvulkan-drivers=intel,freedreno -Dfreedreno-kmds=msm -Dtools=drm-shim,intel -Dgallium-drivers= -Dplatforms= \
  -Dglx=disabled -Degl=disabled -Dgbm=disabled -Dopengl=false -Dgles1=disabled -Dgles2=disabled -Dvideo-codecs= \
  -Dvulkan-layers= -Dvalgrind=disabled -Dlibunwind=disabled -Dintel-rt=disabled
ninja -C build
cp build/src/intel/vulkan/libvulkan_intel.so build/src/intel/tools/libintel_noop_drm_shim.so \
  build/src/freedreno/vulkan/libvulkan_freedreno.so build/src/freedreno/drm-shim/libfreedreno_noop_drm_shim.so "$out"
strip "$out"/*.so
