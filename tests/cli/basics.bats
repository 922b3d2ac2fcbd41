#!/usr/bin/env bats
# What is said about the tool itself and about a VMFile. Nothing here starts a VM.

load helpers

setup() { make_home; }
teardown() { end_all; }

@test "--help names every command, on standard output" {
    run --separate-stderr vmctl --help
    [ "$status" = 0 ]
    [ -z "$stderr" ]
    local help=$output
    for command in up down ssh list status log start stop suspend resume destroy validate; do
        grep -q "^  $command " <<<"$help"
        run vmctl "$command" --help
        [ "$status" = 0 ]
        prints "Usage: vmctl $command"
    done
    # Each group of commands has one heading.
    [ -z "$(grep '^[A-Z].*:$' <<<"$help" | sort | uniq -d)" ]
}

@test "help environment names the variables and the exit codes" {
    run --separate-stderr vmctl help environment
    [ "$status" = 0 ]
    for word in XDG_DATA_HOME VMCTL_ACCEL VMCTL_TIMEOUT 124 130; do
        prints "$word"
    done
}

@test "--version is one line" {
    run --separate-stderr vmctl --version
    [ "$status" = 0 ]
    [[ $output =~ ^vmctl\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "no command: the help, as an error" {
    run --separate-stderr vmctl
    [ "$status" = 2 ]
    [ -z "$output" ]
    says "Usage: vmctl COMMAND"
}

@test "an unknown command is pointed at, with a guess and without the whole help" {
    vmctl_fails 2 vm_manager::usage lst
    says ' 1 | vmctl lst'
    says '   |       ^^^ did you mean `vmctl list`?'
    lacks "$stderr" "Usage:"
    [ -z "$output" ]
    vmctl_fails 2 vm_manager::usage frobnicate
    lacks "$stderr" "did you mean"
}

@test "an unknown option is pointed at, with a guess" {
    vmctl_fails 2 vm_manager::usage list --jsn
    says '   |            ^^^^^ did you mean --json?'
    says 'Run `vmctl list --help`.'
    lacks "$stderr" "Usage:"
}

@test "a value that is none is pointed at" {
    vmctl_fails 2 vm_manager::usage stop web --timeout soon
    says '^^^^'
    vmctl_fails 2 vm_manager::usage status
    says 'NAME'
    vmctl_fails 2 vm_manager::usage status a b
    vmctl_fails 2 vm_manager::usage log web -n -5
}

@test "nothing is coloured when nobody looks at a terminal" {
    run --separate-stderr vmctl lst
    lacks "$output$stderr" $'\e'
    run vmctl --help
    lacks "$output" $'\e'
}

@test "a result that cannot be written is an error" {
    run sh -c 'vmctl --help >/dev/full'
    [ "$status" = 1 ]
    prints "No space left on device"
}

@test "looking makes no folder" {
    run --separate-stderr vmctl list
    [ "$status" = 0 ]
    run --separate-stderr vmctl list --json
    [ "$output" = "[]" ]
    vmctl_fails 1 vm_manager::vm::not_found status web
    vmctl_fails 1 vm_manager::vm::not_found stop web
    vmctl_fails 1 vm_manager::vm::not_found destroy web
    [ ! -e "$data" ]
}

@test "validate: a good file" {
    vmfile web 'vcpus 2' 'memory 512'
    vmfile db
    run --separate-stderr vmctl validate
    [ "$status" = 0 ]
    prints "VMFile.kdl is valid: 2 VMs"
    run --separate-stderr vmctl validate --json
    [ "$status" = 0 ]
    [ "$(json 'sorted(d.keys()), d["vms"]' <<<"$output")" = "(['file', 'vms'], ['web', 'db'])" ]
    run --separate-stderr vmctl validate -f "$PWD/VMFile.kdl"
    [ "$status" = 0 ]
    [ ! -e "$data" ]
}

many_mistakes() {
    cat >VMFile.kdl <<'KDL'
vm "web" {
    imge "disk.qcow2"
    vcpus 0
    memory "lots"
    network "bridge"
}
vm "a/b" { image "nope.qcow2"; }
vm "web" { image "disk.qcow2"; provision "shell" { inline "x"; } }
KDL
}

@test "validate: every mistake of the file in one run, each with its place" {
    many_mistakes
    run --separate-stderr vmctl validate
    [ "$status" = 2 ]
    [ -z "$output" ]
    for place in 2:5 3:11 4:12 5:13 7:4 7:18 8:4 8:32; do
        says "--> VMFile.kdl:$place"
    done
    says 'did you mean "image"?'
    says '"a/b" cannot be the name of a VM'
    says 'vm "web" is defined twice'
    says '8 mistakes in'
    # up says the same and touches nothing.
    run --separate-stderr vmctl up
    [ "$status" = 2 ]
    says '8 mistakes in'
    [ ! -e "$data" ]
}

@test "validate --json: mistakes as data" {
    many_mistakes
    run --separate-stderr vmctl validate --json
    [ "$status" = 2 ]
    [ -z "$output" ]
    [ "$(json 'len(d["errors"])' <<<"$stderr")" = 8 ]
    [ "$(json 'all({"code", "message", "help", "place"} <= e.keys() for e in d["errors"])' <<<"$stderr")" = True ]
    [ "$(json '[(e["place"]["line"], e["place"]["column"]) for e in d["errors"]][1]' <<<"$stderr")" = "(3, 11)" ]
}

@test "validate: a syntax error has a place" {
    printf 'vm "web" {\n    image "disk.qcow2\n}\n' >VMFile.kdl
    run --separate-stderr vmctl validate
    [ "$status" = 2 ]
    says "VMFile.kdl:2:"
    says "^"
}

@test "no VMFile, or a likely one under another name" {
    vmctl_fails 2 vm_manager::vmfile::not_found up
    says "VMFile.kdl"
    vmfile web
    mv VMFile.kdl vmfile.kdl
    vmctl_fails 2 vm_manager::vmfile::not_found up
    says 'Did you mean "vmfile.kdl"?'
    vmctl_fails 2 vm_manager::vmfile::not_found up --file none.kdl
    says "none.kdl"
    [ ! -e "$data" ]
}

@test "--name: a name the file does not have is pointed at, with a guess" {
    vmfile web
    vmctl_fails 2 vm_manager::usage up --name wbe
    says ' 1 | vmctl up --name wbe'
    says '^^^ did you mean "web"?'
    [ ! -e "$data" ]
}
