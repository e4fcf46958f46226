// Brings shaders/attention_tiled.wgsl: fetched where `tuning.wideAttention` is `tiled`, on GPUs.
import text from '../../shaders/attention_tiled.wgsl?raw';
import { addShader } from '../gpu/shader.ts';

addShader('attention_tiled', text);
