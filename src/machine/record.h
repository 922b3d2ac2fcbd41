/* A handle as JSON and back, as the reference draws it. Fields that are missing get defaults;
 * fields we do not know are kept; values that cannot be true (a name that is no name, a work folder
 * that is not ours) are not believed. */
#pragma once

#include "base/json.h"
#include "vmm/types.h"

/* The caller owns both. NULL: `name` is no valid name or the record is no object. `vms_dir` is
 * where work folders are: a recorded path is for readers, never for us. */
struct vmm_handle *record_decode(const char *name, const json_t *record, const char *vms_dir);
json_t *record_encode(const struct vmm_handle *vm);
