/* SPDX-License-Identifier: Apache-2.0 */
/* What starting any program costs: the measure that the others are multiples of. */
int main(void)
{
	return 0;
}
