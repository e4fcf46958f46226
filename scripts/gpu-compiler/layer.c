// A Vulkan layer for drivers of GPUs that are not there. It tells what the driver's compiler made of each compute pipeline:
// statistics as a line of JSON, appended to the file $GPU_COMPILER_OUT, and the machine code in the folder $GPU_COMPILER_ASM
// (VK_KHR_pipeline_executable_properties). What would reach the hardware, as commands and memory, it swallows: see `swallow`.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

static PFN_vkGetInstanceProcAddr next_instance_proc;
static PFN_vkGetDeviceProcAddr next_device_proc;
static PFN_vkCreateComputePipelines next_create_pipelines;
static PFN_vkCreateShaderModule next_create_module;
static PFN_vkGetPipelineExecutablePropertiesKHR get_executables;
static PFN_vkGetPipelineExecutableStatisticsKHR get_statistics;
static PFN_vkGetPipelineExecutableInternalRepresentationsKHR get_texts;

#define LINK(type, info, head, kind)                                                                        \
  type *head = (type *)(info)->pNext;                                                                       \
  while (head && !(head->sType == kind && head->function == VK_LAYER_LINK_INFO)) head = (type *)head->pNext; \
  if (!head) return VK_ERROR_INITIALIZATION_FAILED;

static VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *alloc, VkInstance *out) {
  LINK(VkLayerInstanceCreateInfo, info, link, VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO)
  next_instance_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  return ((PFN_vkCreateInstance)next_instance_proc(NULL, "vkCreateInstance"))(info, alloc, out);
}

static VkResult VKAPI_CALL create_device(VkPhysicalDevice gpu, const VkDeviceCreateInfo *info, const VkAllocationCallbacks *alloc, VkDevice *out) {
  LINK(VkLayerDeviceCreateInfo, info, link, VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO)
  PFN_vkGetInstanceProcAddr instance_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  next_device_proc = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;

  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature = {
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR, (void *)info->pNext, VK_TRUE};
  VkDeviceCreateInfo more = *info;
  const char **names = malloc((info->enabledExtensionCount + 1) * sizeof *names);
  memcpy(names, info->ppEnabledExtensionNames, info->enabledExtensionCount * sizeof *names);
  names[more.enabledExtensionCount++] = "VK_KHR_pipeline_executable_properties";
  more.ppEnabledExtensionNames = names;
  more.pNext = &feature;
  VkResult made = ((PFN_vkCreateDevice)instance_proc(NULL, "vkCreateDevice"))(gpu, &more, alloc, out);
  free(names);
  if (made) return made;
  next_create_pipelines = (void *)next_device_proc(*out, "vkCreateComputePipelines");
  next_create_module = (void *)next_device_proc(*out, "vkCreateShaderModule");
  get_executables = (void *)next_device_proc(*out, "vkGetPipelineExecutablePropertiesKHR");
  get_statistics = (void *)next_device_proc(*out, "vkGetPipelineExecutableStatisticsKHR");
  get_texts = (void *)next_device_proc(*out, "vkGetPipelineExecutableInternalRepresentationsKHR");
  return VK_SUCCESS;
}

// Loops that the WGSL compiler guards against running for ever, in the shader made last. It gives such a loop a counter of 64 bits,
// a vec2<u32> that begins with all bits set: each time that this constant is stored, a loop is guarded.
static unsigned guarded_loops;
static unsigned count_guards(const uint32_t *words, size_t count) {
  enum { CONSTANT = 43, COMPOSITE = 44, VARIABLE = 59, STORE = 62 };
  uint32_t bound = count > 3 ? words[3] : 0;
  unsigned char *is_all_bits = calloc(bound + 1, 1), *is_pair = calloc(bound + 1, 1);
  unsigned found = 0;
  for (size_t at = 5, length; at < count; at += length) {
    const uint32_t *op = words + at;
    length = op[0] >> 16;
    if (length == 0 || at + length > count) break;
    switch (op[0] & 0xffff) {
      case CONSTANT: is_all_bits[op[2]] = length == 4 && op[3] == 0xffffffff; break;
      case COMPOSITE: is_pair[op[2]] = length == 5 && is_all_bits[op[3]] && is_all_bits[op[4]]; break;
      case VARIABLE: found += length == 5 && is_pair[op[4]]; break;
      case STORE: found += is_pair[op[2]]; break;
    }
  }
  free(is_all_bits);
  free(is_pair);
  return found;
}
static VkResult VKAPI_CALL create_module(VkDevice device, const VkShaderModuleCreateInfo *info, const VkAllocationCallbacks *alloc, VkShaderModule *out) {
  guarded_loops = count_guards(info->pCode, info->codeSize / 4);
  return next_create_module(device, info, alloc, out);
}

#define MOST 64

// The last text named assembly, as a file; returns its number, or -1.
static int write_assembly(VkDevice device, const VkPipelineExecutableInfoKHR *which) {
  static int number = 0;
  const char *folder = getenv("GPU_COMPILER_ASM");
  if (!folder) return -1;
  VkPipelineExecutableInternalRepresentationKHR texts[MOST] = {0};
  uint32_t count = MOST;
  for (int i = 0; i < MOST; i++) texts[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
  get_texts(device, which, &count, texts);
  for (uint32_t i = 0; i < count; i++) texts[i].pData = calloc(1, texts[i].dataSize + 1);
  get_texts(device, which, &count, texts);
  int written = -1;
  for (uint32_t i = 0; i < count; i++) {
    if (texts[i].isText && strstr(texts[i].name, "ssembly")) {
      char path[4096];
      written = number++;
      snprintf(path, sizeof path, "%s/%d.s", folder, written);
      FILE *file = fopen(path, "w");
      if (file) {
        fputs(texts[i].pData, file);
        fclose(file);
      }
    }
    free(texts[i].pData);
  }
  return written;
}

static void tell(VkDevice device, VkPipeline pipeline, FILE *file) {
  VkPipelineInfoKHR info = {VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, NULL, pipeline};
  VkPipelineExecutablePropertiesKHR executable = {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR};
  uint32_t one = 1;
  get_executables(device, &info, &one, &executable);
  VkPipelineExecutableInfoKHR which = {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, NULL, pipeline, 0};
  VkPipelineExecutableStatisticKHR all[MOST] = {0};
  uint32_t count = MOST;
  for (int i = 0; i < MOST; i++) all[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
  get_statistics(device, &which, &count, all);
  fprintf(file, "{\"subgroup\":%u,\"guards\":%u", executable.subgroupSize, guarded_loops);
  for (uint32_t i = 0; i < count; i++) {
    if (all[i].format == VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR)
      fprintf(file, ",\"%s\":%g", all[i].name, all[i].value.f64);
    else
      fprintf(file, ",\"%s\":%llu", all[i].name, (unsigned long long)all[i].value.u64);
  }
  fprintf(file, ",\"assembly\":%d}\n", write_assembly(device, &which));
}

static VkResult VKAPI_CALL create_pipelines(VkDevice device, VkPipelineCache cache, uint32_t count, const VkComputePipelineCreateInfo *infos,
                                            const VkAllocationCallbacks *alloc, VkPipeline *out) {
  for (uint32_t i = 0; i < count; i++) {
    VkComputePipelineCreateInfo info = infos[i];
    info.flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR | VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR;
    VkResult made = next_create_pipelines(device, VK_NULL_HANDLE, 1, &info, alloc, &out[i]);
    if (made) return made;
    const char *path = getenv("GPU_COMPILER_OUT");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) continue;
    tell(device, out[i], file);
    fclose(file);
  }
  return VK_SUCCESS;
}

// Memory is the host's, made when it is mapped; nothing on a device ever touches it.
struct memory {
  VkDeviceSize size;
  void *bytes;
};

static void memory_kinds(VkPhysicalDeviceMemoryProperties *out) {
  const VkMemoryPropertyFlags device = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
  const VkMemoryPropertyFlags host = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  const VkMemoryType kinds[] = {{device, 0}, {host, 1}, {device | host, 0}, {host | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, 1}};
  memset(out, 0, sizeof *out);
  out->memoryHeapCount = 2;
  for (int i = 0; i < 2; i++) out->memoryHeaps[i].size = 16ull << 30;
  out->memoryHeaps[0].flags = VK_MEMORY_HEAP_DEVICE_LOCAL_BIT;
  out->memoryTypeCount = 4;
  memcpy(out->memoryTypes, kinds, sizeof kinds);
}
static void VKAPI_CALL get_memory_kinds(VkPhysicalDevice gpu, VkPhysicalDeviceMemoryProperties *out) {
  memory_kinds(out);
}
static void VKAPI_CALL get_memory_kinds2(VkPhysicalDevice gpu, VkPhysicalDeviceMemoryProperties2 *out) {
  memory_kinds(&out->memoryProperties);
}

static PFN_vkGetBufferMemoryRequirements next_requirements;
static PFN_vkGetBufferMemoryRequirements2 next_requirements2;
static void VKAPI_CALL requirements(VkDevice device, VkBuffer buffer, VkMemoryRequirements *out) {
  next_requirements(device, buffer, out);
  out->memoryTypeBits = 15;
}
static void VKAPI_CALL requirements2(VkDevice device, const VkBufferMemoryRequirementsInfo2 *info, VkMemoryRequirements2 *out) {
  next_requirements2(device, info, out);
  out->memoryRequirements.memoryTypeBits = 15;
}

static VkResult VKAPI_CALL allocate(VkDevice device, const VkMemoryAllocateInfo *info, const VkAllocationCallbacks *alloc, VkDeviceMemory *out) {
  struct memory *made = calloc(1, sizeof *made);
  made->size = info->allocationSize;
  *out = (VkDeviceMemory)made;
  return VK_SUCCESS;
}
static void VKAPI_CALL release(VkDevice device, VkDeviceMemory which, const VkAllocationCallbacks *alloc) {
  struct memory *memory = (struct memory *)which;
  if (memory) free(memory->bytes);
  free(memory);
}
static VkResult VKAPI_CALL map(VkDevice device, VkDeviceMemory which, VkDeviceSize at, VkDeviceSize size, VkMemoryMapFlags flags, void **out) {
  struct memory *memory = (struct memory *)which;
  if (!memory->bytes) memory->bytes = calloc(1, memory->size);
  *out = (char *)memory->bytes + at;
  return VK_SUCCESS;
}

// A fence or semaphore is a number.
static VkResult VKAPI_CALL make_sync(VkDevice device, const void *info, const VkAllocationCallbacks *alloc, uint64_t *out) {
  static uint64_t number = 0;
  *out = ++number;
  return VK_SUCCESS;
}
static VkResult succeed(void) { return VK_SUCCESS; }
static void nothing(void) {}

static int is_any(const char *name, const char *const *names) {
  while (*names && strcmp(name, *names)) names++;
  return *names != NULL;
}

// Stands in for functions that would touch hardware; NULL for all others.
static PFN_vkVoidFunction swallow(const char *name) {
  static const char *const done[] = {
    "vkBindBufferMemory", "vkBindBufferMemory2", "vkBindBufferMemory2KHR", "vkBindImageMemory", "vkBindImageMemory2",
    "vkFlushMappedMemoryRanges", "vkInvalidateMappedMemoryRanges", "vkGetQueryPoolResults", "vkBeginCommandBuffer",
    "vkEndCommandBuffer", "vkResetCommandBuffer", "vkResetCommandPool", "vkQueueSubmit", "vkQueueSubmit2", "vkQueueSubmit2KHR",
    "vkQueueWaitIdle", "vkDeviceWaitIdle", "vkGetFenceStatus", "vkWaitForFences", "vkResetFences", NULL};
  static const char *const silent[] = {
    "vkDestroyCommandPool", "vkFreeCommandBuffers", "vkDestroyDevice", "vkDestroyFence", "vkDestroySemaphore", "vkUnmapMemory", NULL};
  static const char *const syncs[] = {"vkCreateFence", "vkCreateSemaphore", NULL};
  if (is_any(name, done)) return (PFN_vkVoidFunction)succeed;
  if (is_any(name, silent) || !strncmp(name, "vkCmd", 5) || !strncmp(name, "vkUpdateDescriptorSet", 21)) return nothing;
  if (is_any(name, syncs)) return (PFN_vkVoidFunction)make_sync;
  if (!strcmp(name, "vkAllocateMemory")) return (PFN_vkVoidFunction)allocate;
  if (!strcmp(name, "vkFreeMemory")) return (PFN_vkVoidFunction)release;
  if (!strcmp(name, "vkMapMemory")) return (PFN_vkVoidFunction)map;
  if (!strcmp(name, "vkGetPhysicalDeviceMemoryProperties")) return (PFN_vkVoidFunction)get_memory_kinds;
  if (!strncmp(name, "vkGetPhysicalDeviceMemoryProperties2", 36)) return (PFN_vkVoidFunction)get_memory_kinds2;
  return NULL;
}

__attribute__((visibility("default"))) PFN_vkVoidFunction VKAPI_CALL gpu_compiler_GetDeviceProcAddr(VkDevice device, const char *name) {
  if (!strcmp(name, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction)gpu_compiler_GetDeviceProcAddr;
  if (!strcmp(name, "vkCreateComputePipelines")) return (PFN_vkVoidFunction)create_pipelines;
  if (!strcmp(name, "vkCreateShaderModule")) return (PFN_vkVoidFunction)create_module;
  PFN_vkVoidFunction real = next_device_proc(device, name);
  if (!real) return NULL;
  if (!strcmp(name, "vkGetBufferMemoryRequirements")) {
    next_requirements = (void *)real;
    return (PFN_vkVoidFunction)requirements;
  }
  if (!strncmp(name, "vkGetBufferMemoryRequirements2", 30)) {
    next_requirements2 = (void *)real;
    return (PFN_vkVoidFunction)requirements2;
  }
  PFN_vkVoidFunction own = swallow(name);
  return own ? own : real;
}

__attribute__((visibility("default"))) PFN_vkVoidFunction VKAPI_CALL gpu_compiler_GetInstanceProcAddr(VkInstance instance, const char *name) {
  if (!strcmp(name, "vkGetInstanceProcAddr")) return (PFN_vkVoidFunction)gpu_compiler_GetInstanceProcAddr;
  if (!strcmp(name, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction)gpu_compiler_GetDeviceProcAddr;
  if (!strcmp(name, "vkCreateInstance")) return (PFN_vkVoidFunction)create_instance;
  if (!strcmp(name, "vkCreateDevice")) return (PFN_vkVoidFunction)create_device;
  PFN_vkVoidFunction own = instance ? swallow(name) : NULL;
  if (own) return own;
  return next_instance_proc ? next_instance_proc(instance, name) : NULL;
}
