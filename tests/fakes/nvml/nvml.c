/* A libnvidia-ml.so.1 that answers from a scenario: the text file that FAKE_NVML_SCENARIO names, read by nvmlInit.
 *
 * One fact a line; a fact that is not told is answered with NVML_ERROR_NOT_SUPPORTED, as cards do that lack it.
 *
 *   gpu UUID TOTAL_MIB USED_MIB MAJOR.MINOR BUS_ID NAME…      the next GPU, counted from 0
 *   node GPU NUMBER                                          the socket that it hangs at
 *   link GPU LINK switch | GPU_NUMBER | off                  an NVLink and what is at its other end
 *   remote GPU LINK BUS_ID                                   the same, with a kind that is not told
 *   p2p GPU GPU STATUS                                       nvmlDeviceGetP2PStatus between the two
 *   mig GPU SLOTS                                            MIG is on, with so many slots for instances
 *   instance GPU UUID TOTAL_MIB USED_MIB GPU_INSTANCE NAME…  the next MIG instance of the GPU
 *   slices GPU INSTANCE GPU_SLICES COMPUTE_SLICES            what the instance is made of; INSTANCE from 0
 *   process GPU PID MIB [INSTANCE]                           MIB -1: not told; INSTANCE: the GPU's n-th, from 0
 *   ecc GPU UNCORRECTED                                      since the driver was loaded
 *   remapped GPU PENDING FAILED                              memory rows
 *   retired GPU PENDING                                      memory pages
 *   energy GPU MILLIJOULES                                   since the driver was loaded
 *   recovery GPU ACTION                                      NVML_FI_DEV_GET_GPU_RECOVERY_ACTION
 *   driver VERSION                                           of the machine
 *   fail GPU|* FUNCTION|* ERROR                              what calls return instead
 *
 * Layouts and signatures are those that pynvml calls by; they follow NVIDIA's published nvml.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, UNKNOWN = 999 };
enum { GPUS = 16, LINKS = 36, INSTANCES = 8, FACTS = 256, UNTOLD = -1, OFF = -2, SWITCH = -3, FOREIGN = -4 };
#define MIB (1ull << 20)
#define MESSAGE(error) ((error) == 15 ? "GPU is lost" : "error of the fake library")

typedef struct device {
    int index, instance, gpu_instance; /* instance: -1 for a GPU, else the number of the MIG instance */
    char uuid[96], name[96], bus_id[32];
    unsigned long long total, used;
    int major, minor, node, slots, instances, gpu_slices, compute_slices;
    int link[LINKS];
    char remote[LINKS][32];
    int ecc, remap_pending, remap_failed, retired, recovery;
    long long energy;
    struct device *parent, *parts;
} device;

typedef struct { unsigned long long total, free, used; } memory;
typedef struct { char legacy[16]; unsigned domain, bus, dev, id, subsystem; char bus_id[32]; } pci;
typedef struct { unsigned multiprocessors, copy, decoder, encoder, jpeg, ofa, gpu_slices, compute_slices; unsigned long long mib; } attributes;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process;
typedef struct { unsigned field, scope; long long time, latency; unsigned type; int result; union { double d; unsigned u; unsigned long long ull; } value; } field;

static device gpus[GPUS], parts[GPUS][INSTANCES];
static struct { int gpu, instance; unsigned pid; long long mib; } processes[FACTS];
static struct { int a, b, status; } pairs[FACTS];
static struct { int gpu, error; char function[64]; } failures[FACTS];
static char driver[64];
static int gpu_count, process_count, pair_count, failure_count;

static int failing(const char *function, int gpu) {
    for (int i = 0; i < failure_count; i++)
        if ((failures[i].gpu < 0 || failures[i].gpu == gpu) &&
            (gpu >= 0 || failures[i].gpu < 0) &&
            (!strcmp(failures[i].function, "*") || !strcmp(failures[i].function, function)))
            return failures[i].error;
    return SUCCESS;
}
#define ENTER(d) do { int e_ = (d) ? failing(__func__, (d)->index) : INVALID; if (e_) return e_; } while (0)
#define WHOLE(d) do { ENTER(d); if ((d)->instance >= 0) return NOT_SUPPORTED; } while (0)

static device *add_gpu(void) {
    device *d = &gpus[gpu_count];
    memset(d, 0, sizeof *d);
    d->index = gpu_count++;
    d->instance = -1;
    d->parts = parts[d->index];
    d->node = d->slots = d->ecc = d->remap_pending = d->retired = d->recovery = UNTOLD;
    d->energy = UNTOLD;
    for (int i = 0; i < LINKS; i++) d->link[i] = UNTOLD;
    return d;
}

static device *add_part(device *parent) {
    device *d = &parent->parts[parent->instances];
    memset(d, 0, sizeof *d);
    d->index = parent->index;
    d->instance = parent->instances++;
    d->parent = parent;
    return d;
}

static void told(char *line) {
    int gpu, a, b;
    char word[64], other[64];
    device *d;
    if (!strncmp(line, "gpu ", 4)) {
        d = add_gpu();
        sscanf(line, "gpu %95s %llu %llu %d.%d %31s %95[^\n]", d->uuid, &d->total, &d->used, &d->major, &d->minor, d->bus_id, d->name);
        d->total *= MIB, d->used *= MIB;
    } else if (!strncmp(line, "instance ", 9) && sscanf(line, "instance %d", &gpu) == 1) {
        d = add_part(&gpus[gpu]);
        sscanf(line, "instance %*d %95s %llu %llu %d %95[^\n]", d->uuid, &d->total, &d->used, &d->gpu_instance, d->name);
        d->total *= MIB, d->used *= MIB;
    } else if (sscanf(line, "link %d %d %63s", &gpu, &a, word) == 3) {
        gpus[gpu].link[a] = !strcmp(word, "switch") ? SWITCH : !strcmp(word, "off") ? OFF : atoi(word);
    } else if (sscanf(line, "remote %d %d %31s", &gpu, &a, word) == 3) {
        gpus[gpu].link[a] = FOREIGN;
        strcpy(gpus[gpu].remote[a], word);
    } else if (!strncmp(line, "process ", 8)) {
        processes[process_count].instance = -1;
        sscanf(line, "process %d %u %lld %d", &processes[process_count].gpu, &processes[process_count].pid,
               &processes[process_count].mib, &processes[process_count].instance);
        process_count++;
    } else if (sscanf(line, "p2p %d %d %d", &pairs[pair_count].a, &pairs[pair_count].b, &pairs[pair_count].status) == 3) {
        pair_count++;
    } else if (sscanf(line, "fail %63s %63s %d", other, word, &a) == 3) {
        failures[failure_count].gpu = *other == '*' ? -1 : atoi(other);
        failures[failure_count].error = a;
        strcpy(failures[failure_count++].function, word);
    } else if (sscanf(line, "node %d %d", &gpu, &a) == 2) gpus[gpu].node = a;
    else if (sscanf(line, "mig %d %d", &gpu, &a) == 2) gpus[gpu].slots = a;
    else if (sscanf(line, "slices %d %d %d %63s", &gpu, &a, &b, word) == 4)
        gpus[gpu].parts[a].gpu_slices = b, gpus[gpu].parts[a].compute_slices = atoi(word);
    else if (sscanf(line, "ecc %d %d", &gpu, &a) == 2) gpus[gpu].ecc = a;
    else if (sscanf(line, "remapped %d %d %d", &gpu, &a, &b) == 3) gpus[gpu].remap_pending = a, gpus[gpu].remap_failed = b;
    else if (sscanf(line, "retired %d %d", &gpu, &a) == 2) gpus[gpu].retired = a;
    else if (!strncmp(line, "energy ", 7) && sscanf(line, "energy %d", &gpu) == 1) sscanf(line, "energy %*d %lld", &gpus[gpu].energy);
    else if (sscanf(line, "driver %63s", driver) == 1) return;
    else if (sscanf(line, "recovery %d %d", &gpu, &a) == 2) gpus[gpu].recovery = a;
    else if (*line != '#' && *line != '\n') {
        fprintf(stderr, "fake NVML: no such fact: %s", line);
        abort();
    }
}

static int users; /* nvmlInit counts them, as the driver's library does */

int nvmlInitWithFlags(unsigned flags) {
    const char *path = getenv("FAKE_NVML_SCENARIO");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512];
    if (!file) return UNKNOWN;
    gpu_count = process_count = pair_count = failure_count = 0;
    while (fgets(line, sizeof line, file)) told(line);
    fclose(file);
    int error = failing(__func__, -1);
    if (!error) users++;
    return error;
}

int nvmlShutdown(void) {
    if (!users) return UNINITIALIZED;
    users--;
    return SUCCESS;
}

void fakeReset(void) { users = 0; }

const char *nvmlErrorString(int error) { return MESSAGE(error); }

int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    if (!users) return UNINITIALIZED;
    if (!*driver) return NOT_SUPPORTED;
    snprintf(version, length, "%s", driver);
    return failing(__func__, -1);
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    if (!users) return UNINITIALIZED;
    *count = gpu_count;
    return failing(__func__, -1);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device **handle) {
    if (!users) return UNINITIALIZED;
    if (index >= (unsigned)gpu_count) return INVALID;
    *handle = &gpus[index];
    return failing(__func__, index);
}

int nvmlDeviceGetHandleByUUID(const char *uuid, device **handle) {
    if (!users) return UNINITIALIZED;
    for (int index = 0; index < gpu_count; index++)
        if (!strcmp(gpus[index].uuid, uuid)) {
            *handle = &gpus[index];
            return failing(__func__, index);
        }
    return NOT_FOUND;
}

int nvmlDeviceGetName(device *d, char *text, unsigned size) {
    ENTER(d);
    snprintf(text, size, "%s", d->name);
    return SUCCESS;
}

int nvmlDeviceGetUUID(device *d, char *text, unsigned size) {
    ENTER(d);
    snprintf(text, size, "%s", d->uuid);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(device *d, memory *out) {
    ENTER(d);
    *out = (memory){d->total, d->total - d->used, d->used};
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(device *d, unsigned long long *out) {
    WHOLE(d);
    if (d->energy == UNTOLD) return NOT_SUPPORTED;
    *out = d->energy;
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(device *d, int *major, int *minor) {
    WHOLE(d);
    *major = d->major, *minor = d->minor;
    return SUCCESS;
}

int nvmlDeviceGetPciInfo_v3(device *d, pci *out) {
    WHOLE(d);
    memset(out, 0, sizeof *out);
    strcpy(out->bus_id, d->bus_id);
    return SUCCESS;
}

int nvmlDeviceGetNvLinkState(device *d, unsigned link, unsigned *active) {
    WHOLE(d);
    if (link >= LINKS) return INVALID;
    if (d->link[link] == UNTOLD) return NOT_SUPPORTED;
    *active = d->link[link] != OFF;
    return SUCCESS;
}

int nvmlDeviceGetNvLinkRemoteDeviceType(device *d, unsigned link, unsigned *type) {
    WHOLE(d);
    if (link >= LINKS) return INVALID;
    if (d->link[link] == UNTOLD || d->link[link] == OFF || d->link[link] == FOREIGN) return NOT_SUPPORTED;
    *type = d->link[link] == SWITCH ? 2 : 0;
    return SUCCESS;
}

int nvmlDeviceGetNvLinkRemotePciInfo_v2(device *d, unsigned link, pci *out) {
    WHOLE(d);
    if (link >= LINKS) return INVALID;
    if (d->link[link] == UNTOLD || d->link[link] == OFF) return NOT_SUPPORTED;
    memset(out, 0, sizeof *out);
    if (d->link[link] == FOREIGN) strcpy(out->bus_id, d->remote[link]);
    else if (d->link[link] == SWITCH) sprintf(out->bus_id, "00000000:%02X:00.0", 0xC0 + link % 4);
    else strcpy(out->bus_id, gpus[d->link[link]].bus_id);
    return SUCCESS;
}

int nvmlDeviceGetTopologyCommonAncestor(device *a, device *b, unsigned *level) {
    WHOLE(a);
    WHOLE(b);
    if (a->node == UNTOLD || b->node == UNTOLD) return NOT_SUPPORTED;
    *level = a->node == b->node ? 30 : 50;
    return SUCCESS;
}

int nvmlDeviceGetP2PStatus(device *a, device *b, unsigned capability, unsigned *status) {
    WHOLE(a);
    WHOLE(b);
    if (capability != 2) return INVALID; /* NVLink */
    for (int i = 0; i < pair_count; i++)
        if ((pairs[i].a == a->index && pairs[i].b == b->index) || (pairs[i].a == b->index && pairs[i].b == a->index)) {
            *status = pairs[i].status;
            return SUCCESS;
        }
    return NOT_SUPPORTED;
}

int nvmlDeviceGetMigMode(device *d, unsigned *current, unsigned *pending) {
    WHOLE(d);
    if (d->slots == UNTOLD) return NOT_SUPPORTED;
    *current = *pending = d->slots > 0;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(device *d, unsigned *count) {
    WHOLE(d);
    *count = d->slots > 0 ? d->slots : 0;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(device *d, unsigned index, device **handle) {
    WHOLE(d);
    if (index >= (unsigned)d->instances) return NOT_FOUND;
    *handle = &d->parts[index];
    return SUCCESS;
}

int nvmlDeviceGetGpuInstanceId(device *d, unsigned *id) {
    ENTER(d);
    if (d->instance < 0) return NOT_SUPPORTED;
    *id = d->gpu_instance;
    return SUCCESS;
}

int nvmlDeviceGetAttributes_v2(device *d, attributes *out) {
    ENTER(d);
    if (d->instance < 0 || !d->gpu_slices) return NOT_SUPPORTED;
    *out = (attributes){.gpu_slices = d->gpu_slices, .compute_slices = d->compute_slices, .mib = d->total / MIB};
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(device *d, unsigned *count, process *out) {
    unsigned found = 0;
    ENTER(d);
    for (int i = 0; i < process_count; i++) {
        if (processes[i].gpu != d->index || (d->instance >= 0 && processes[i].instance != d->instance)) continue;
        if (out && found < *count)
            out[found] = (process){processes[i].pid, processes[i].mib < 0 ? ~0ull : processes[i].mib * MIB, ~0u, ~0u};
        found++;
    }
    if (found > *count) {
        *count = found;
        return TOO_SMALL;
    }
    *count = found;
    return SUCCESS;
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(device *d, unsigned *count, process *out) {
    ENTER(d);
    *count = 0;
    return SUCCESS;
}

int nvmlDeviceGetTotalEccErrors(device *d, unsigned type, unsigned counter, unsigned long long *count) {
    WHOLE(d);
    if (d->ecc == UNTOLD) return NOT_SUPPORTED;
    *count = type == 1 ? d->ecc : 0;
    return SUCCESS;
}

int nvmlDeviceGetRemappedRows(device *d, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed) {
    WHOLE(d);
    if (d->remap_pending == UNTOLD) return NOT_SUPPORTED;
    *corrected = 0, *uncorrected = d->remap_pending || d->remap_failed;
    *pending = d->remap_pending, *failed = d->remap_failed;
    return SUCCESS;
}

int nvmlDeviceGetRetiredPagesPendingStatus(device *d, unsigned *pending) {
    WHOLE(d);
    if (d->retired == UNTOLD) return NOT_SUPPORTED;
    *pending = d->retired;
    return SUCCESS;
}

int nvmlDeviceGetFieldValues(device *d, int count, field *fields) {
    WHOLE(d);
    for (int i = 0; i < count; i++) {
        fields[i].result = fields[i].field == 230 && d->recovery != UNTOLD ? SUCCESS : NOT_SUPPORTED;
        fields[i].type = 1; /* unsigned int */
        fields[i].value.ull = d->recovery != UNTOLD ? d->recovery : 0;
    }
    return SUCCESS;
}
