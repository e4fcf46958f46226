// Brings shaders/rope.wgsl: fetched for models that norm the heads of q and k; others rotate as they project.
import text from '../../shaders/rope.wgsl?raw';
import { addShader } from '../gpu/shader.ts';

addShader('rope', text);
