#include "machine/up.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "machine/provision.h"
#include "machine/wait.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* How many virtual CPUs may be booting at a time. A boot keeps its CPUs busy; more boots than real
 * CPUs make each slower and ruin guests that calibrate their clocks while they boot. */
struct admission {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned capacity;
    unsigned in_use;
};

struct up_run {
    struct machine_env *env;
    const struct up_opts *opts;
    struct admission admission;
};

struct worker {
    struct up_run *run;
    struct up_item *item;
    size_t index;
    pthread_t thread;
};

static unsigned boot_cost(const struct up_run *run, const struct up_item *item)
{
    const unsigned vcpus = item->spec->vcpus ? item->spec->vcpus : 1;
    return vcpus < run->admission.capacity ? vcpus : run->admission.capacity;
}

static void admit(struct up_run *run, unsigned cost)
{
    struct admission *a = &run->admission;
    pthread_mutex_lock(&a->lock);
    while (a->in_use + cost > a->capacity)
        pthread_cond_wait(&a->changed, &a->lock);
    a->in_use += cost;
    pthread_mutex_unlock(&a->lock);
}

static void release(struct up_run *run, unsigned cost)
{
    struct admission *a = &run->admission;
    pthread_mutex_lock(&a->lock);
    a->in_use -= cost;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static void tell(struct worker *w, const char *what)
{
    const struct up_events *e = w->run->opts->events;
    if (e && e->on_state)
        e->on_state(e->arg, w->index, what);
}

static void pass_notes(struct worker *w)
{
    const struct up_events *e = w->run->opts->events;
    cleanup_free char *note = hypervisor_take_note(w->run->env->hypervisor);
    if (note && e && e->on_note)
        e->on_note(e->arg, note);
}

static void on_progress(void *arg, const char *phrase)
{
    tell(arg, phrase);
}

static void on_output(void *arg, bool is_stderr, const char *bytes, size_t n)
{
    const struct worker *w = arg;
    const struct up_events *e = w->run->opts->events;
    if (e && e->on_output)
        e->on_output(e->arg, w->index, is_stderr, bytes, n);
}

static bool is_cancelled(const struct worker *w)
{
    const int fd = w->run->opts->cancel_fd;
    return fd > 0 && poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) > 0;
}

static int check_cancelled(const struct worker *w, struct vmm_error **errp)
{
    if (!is_cancelled(w))
        return 0;
    return vmm_fail(errp, &(struct diag){.code = VMM_E_INTERRUPTED},
        "stopped before VM \"%s\" was up", w->item->spec->name);
}

/* What there is of the VM already; *ret_vm stays NULL when there is nothing to go on with. */
static int look(struct worker *w,
    struct vmm_handle **ret_vm,
    enum vmm_state *ret_state,
    struct vmm_error **errp)
{
    struct vmm_error *error = NULL;
    cleanup_handle struct vmm_handle *vm = NULL;
    const int r = machine_look(w->run->env, w->item->spec->name, &vm, ret_state, &error);
    if (r == 0) {
        if (*ret_state != VMM_STATE_PREPARING && *ret_state != VMM_STATE_DESTROYED)
            *ret_vm = TAKE_PTR(vm);
        return 0;
    }
    if (vmm_error_code(error) == VMM_E_VM_NOT_FOUND) {
        vmm_error_free(error);
        return 0;
    }
    if (errp)
        *errp = error;
    return r;
}

static int create(struct worker *w, struct vmm_error **errp)
{
    cleanup_handle struct vmm_handle *made = NULL;
    tell(w, "creating");
    return machine_create(w->run->env, w->item->spec, w->item->vmfile_path, &made, errp);
}

static bool has_steps(const struct worker *w)
{
    return !w->run->opts->no_provision && w->item->provision_count > 0;
}

static int log_in(struct worker *w,
    bool is_fresh_boot,
    const struct vmm_handle *vm,
    struct ssh_session **ret_session,
    struct vmm_error **errp)
{
    if (!w->item->spec->has_ssh || w->run->opts->no_wait || vm->backend == VMM_BACKEND_NOOP)
        return 0;
    return wait_login(w->run->env, vm, NULL,
        &(struct wait_opts){.on_progress = on_progress,
            .arg = w,
            .is_fresh_boot = is_fresh_boot,
            .cancel_fd = w->run->opts->cancel_fd},
        ret_session, errp);
}

/* Boot and login, within the host's boots at a time. */
static int boot(struct worker *w,
    struct vmm_handle **ret_vm,
    struct ssh_session **ret_session,
    struct vmm_error **errp)
{
    struct up_run *run = w->run;
    const unsigned cost = boot_cost(run, w->item);
    tell(w, "waiting for its turn to boot");
    admit(run, cost);
    int r = check_cancelled(w, errp);
    if (r == 0) {
        tell(w, "starting");
        r = machine_start(run->env, w->item->spec->name, has_steps(w), ret_vm, errp);
        pass_notes(w);
    }
    if (r == 0)
        r = log_in(w, /* is_fresh_boot */ true, *ret_vm, ret_session, errp);
    release(run, cost);
    return r;
}

static int provision(struct worker *w,
    const struct vmm_handle *vm,
    struct ssh_session *session,
    struct vmm_error **errp)
{
    const struct up_item *item = w->item;
    const struct up_opts *opts = w->run->opts;
    if (!has_steps(w) || !session)
        return 0;
    int r = wait_cloud_init(vm, session,
        &(struct wait_opts){.on_progress = on_progress, .arg = w, .cancel_fd = opts->cancel_fd},
        errp);
    if (r == 0)
        r = provision_run(vm, session, item->provisions, item->provision_count,
            &(struct provision_opts){.on_step = on_progress,
                .on_output = on_output,
                .arg = w,
                .cancel_fd = opts->cancel_fd},
            errp);
    return r < 0 ? r : machine_setup_done(w->run->env, vm, errp);
}

static int wrong_state(const struct worker *w, enum vmm_state state, struct vmm_error **errp)
{
    const char *name = w->item->spec->name;
    cleanup_free char *help = machine_state_advice(name, state);
    return vmm_fail(errp, &(struct diag){.code = VMM_E_VM_STATE, .help = help},
        "VM \"%s\" cannot be brought up: it is %s", name, vmm_state_name(state));
}

/* A VM that runs is left alone, unless an earlier `up` did not get through its steps. */
static int finish_running(struct worker *w, const struct vmm_handle *vm, struct vmm_error **errp)
{
    if (!vm->setup_pending || !has_steps(w)) {
        w->item->outcome = UP_SKIPPED;
        return 0;
    }
    cleanup_ssh_session struct ssh_session *session = NULL;
    int r = log_in(w, /* is_fresh_boot */ false, vm, &session, errp);
    if (r == 0)
        r = provision(w, vm, session, errp);
    if (r == 0)
        w->item->outcome = UP_DONE;
    return r;
}

/* One try. `*ret_again`: somebody else was quicker, so what there is has to be looked at again. */
static int try_to_bring_up(struct worker *w, bool *ret_again, struct vmm_error **errp)
{
    cleanup_handle struct vmm_handle *found = NULL;
    enum vmm_state state = VMM_STATE_STOPPED;
    *ret_again = false;
    int r = look(w, &found, &state, errp);
    if (r < 0)
        return r;
    if (found && state == VMM_STATE_RUNNING)
        return finish_running(w, found, errp);
    if (found && state != VMM_STATE_PREPARED && state != VMM_STATE_STOPPED)
        return wrong_state(w, state, errp);
    r = check_cancelled(w, errp);
    if (r == 0 && !found) {
        r = create(w, errp);
        *ret_again = r == -(int)VMM_E_VM_EXISTS;
    }
    if (r < 0)
        return r;
    cleanup_handle struct vmm_handle *vm = NULL;
    cleanup_ssh_session struct ssh_session *session = NULL;
    r = boot(w, &vm, &session, errp);
    *ret_again = r == -(int)VMM_E_VM_STATE;
    if (r == 0)
        r = provision(w, vm, session, errp);
    if (r == 0)
        w->item->outcome = UP_DONE;
    return r;
}

static int bring_up(struct worker *w, struct vmm_error **errp)
{
    enum { TRIES = 3 }; /* each lost race is another command's gain, so this comes to an end */
    for (int i = 1;; i++) {
        struct vmm_error *error = NULL;
        bool again;
        const int r = try_to_bring_up(w, &again, &error);
        if (r == 0 || !again || i == TRIES) {
            *errp = error;
            return r;
        }
        vmm_error_free(error);
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    const struct up_events *e = w->run->opts->events;
    w->item->outcome = UP_FAILED;
    w->item->error = NULL;
    (void)bring_up(w, &w->item->error);
    if (e && e->on_end)
        e->on_end(e->arg, w->index, w->item->outcome);
    return NULL;
}

int machine_up(
    struct machine_env *env, struct up_item *items, size_t count, const struct up_opts *opts)
{
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct up_run run = {
        .env = env,
        .opts = opts,
        .admission = {.lock = PTHREAD_MUTEX_INITIALIZER,
            .changed = PTHREAD_COND_INITIALIZER,
            .capacity = cpus > 0 ? (unsigned)cpus : 1},
    };
    hypervisor_set_cancel_fd(env->hypervisor, opts->cancel_fd);
    struct worker *workers = xcalloc(count, sizeof(*workers));
    for (size_t i = 0; i < count; i++) {
        workers[i] = (struct worker){.run = &run, .item = &items[i], .index = i};
        /* No thread to be had: this one does the work itself, later but surely. */
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            work(&workers[i]);
            workers[i].run = NULL;
        }
    }
    int r = 0;
    for (size_t i = 0; i < count; i++) {
        if (workers[i].run)
            pthread_join(workers[i].thread, NULL);
        if (items[i].outcome == UP_FAILED)
            r = -1;
    }
    free(workers);
    return r;
}
