"""IPC-2571 PDX: product definitions that PLM systems export as a package."""
