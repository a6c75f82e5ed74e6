"""Parts of the product that rows measure within one process, without HTTP."""
