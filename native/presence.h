/* Whether a device is governed, or an operator has taken it out for a while.
 *
 * Who is to be reset must be held open by nobody. It goes in steps, so that no sum is ever above the envelope: PARTING
 * it counts at its greatest, outside of what the loop shares out, and goes to where it falls back without waiting for
 * anything; GONE it has no handle, and is neither read nor written. It comes back the same way.
 */
#ifndef EAGENT_PRESENCE_H
#define EAGENT_PRESENCE_H

enum presence { PRESENCE_HERE = 0, PRESENCE_PARTING = 1, PRESENCE_GONE = 2 };

#endif
