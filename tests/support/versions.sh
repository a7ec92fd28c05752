# SPDX-License-Identifier: MIT
# Other versions of hiredis and of the server than the system's, each in a private directory below
# build/versions, from the mirror that the machine's own apt is set up for. Nothing is installed. To
# be sourced, from the root of the tree.

versions=$PWD/build/versions
hiredis_prefix=$versions/hiredis-1.2.0
valkey_program=$versions/valkey-8/usr/bin/valkey-server

# The first archive of Debian itself (not its security archive) among those that apt knows.
mirror() {
    apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -1
}

# private_apt <program> <argument ...>: apt with lists and caches of its own
private_apt() {
    program=$1
    shift
    "$program" -o Dir::Etc::sourcelist="$versions/apt/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$versions/apt/lists" -o Dir::Cache="$versions/apt/cache" \
        -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}

prepare_apt() {
    mkdir -p "$versions/apt/lists/partial" "$versions/apt/cache/archives/partial"
    [ -n "$(mirror)" ] || apt-get update
    archive=$(mirror) key=/usr/share/keyrings/debian-archive-keyring.gpg options=
    [ -n "$archive" ] || return 1
    [ -e $key ] && options="[signed-by=$key] "
    {
        echo "deb-src $options$archive trixie main"
        echo "deb $options$archive bookworm-backports main"
    } >"$versions/apt/sources.list"
    private_apt apt-get update
}

# The prefix appears last and at once, so that one that is there is a whole one.
make_hiredis() (
    rm -rf "$versions/hiredis-build"
    mkdir -p "$versions/hiredis-build"
    cd "$versions/hiredis-build" || exit
    prepare_apt && private_apt apt-get source --download-only hiredis &&
        dpkg-source --no-check -x hiredis_1.2.0-*.dsc source &&
        make -C source -j"$(nproc)" PREFIX="$hiredis_prefix" DESTDIR="$PWD/staged" install &&
        mv "staged$hiredis_prefix" "$hiredis_prefix"
)

make_valkey() (
    rm -rf "$versions/valkey-unpacked"
    mkdir -p "$versions/valkey-unpacked"
    cd "$versions/valkey-unpacked" || exit
    prepare_apt && private_apt apt-get download valkey-server valkey-tools || exit
    for package in *.deb; do dpkg-deb -x "$package" . || exit; done
    usr/bin/valkey-server --version && mv "$versions/valkey-unpacked" "$versions/valkey-8"
)

# provide <hiredis|valkey> <path>: makes it unless it is there; the output goes to
# build/versions/<what>.log
provide() {
    [ -e "$2" ] && return
    mkdir -p "$versions"
    "make_$1" >"$versions/$1.log" 2>&1 && [ -e "$2" ] && return
    tail -5 "$versions/$1.log"
    return 1
}

provide_hiredis() { provide hiredis "$hiredis_prefix"; }
provide_valkey() { provide valkey "$valkey_program"; }
